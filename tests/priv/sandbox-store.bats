#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Where sandboxes are kept when the data disk comes late; snapshots with processes, with a runtime and a criu that stand in for
# those that can (a kernel and a criu that fit each other are not to be had everywhere).
load ../lib.bash
load sandbox.bash

@test "the data disk comes after the first request: it is used from then on, unless something is in use already" {
	sandbox_inside '
		kill $daemon; wait $daemon || true
		mount -t tmpfs run /run; mkdir -p /run/guestbox /run/arcbox/data /var/lib/arcbox; mount -t tmpfs other /var/lib/arcbox
		daemon_place= daemon_start
		[ "$(sb ls --json | jq -c .sandboxes)" = "[]" ]
		[ -d /var/lib/arcbox/sandboxes/boxes ]
		mount --bind $T/data /run/arcbox/data
		sb create --id a --rootfs /run/arcbox/data/rootfs --wait
		[ -n "$(ls /run/arcbox/data/sandboxes/boxes)" ]
		silent ls /var/lib/arcbox/sandboxes/boxes
		sb rm a
		kill $daemon; wait $daemon || true
		# one that is in use keeps its place until it is removed
		umount /run/arcbox/data; mkdir /run/root; cp -a $R/. /run/root
		daemon_place= daemon_start
		sb create --id b --rootfs /run/root --wait
		mount --bind $T/data /run/arcbox/data
		sb create --id c --rootfs /run/root --wait
		grep -q "there are sandboxes, snapshots or images in /var/lib/arcbox" $T/log
		[ "$(ls /var/lib/arcbox/sandboxes/boxes | wc -l)" = 2 ]
		sb run b true
		sb rm b c
		sb create --id d --rootfs /run/arcbox/data/rootfs --wait
		[ "$(ls /run/arcbox/data/sandboxes/boxes | wc -l)" = 1 ]
		sb rm d
	'
}

@test "snapshots with processes: taken while all stand still, told as such, gone on with; files alone where that fails" {
	sandbox_inside '
		real=$(readlink $T/runtime/'"$SANDBOX_RUNTIME"')
		rm $T/runtime/*
		cat >$T/runtime/crun <<-EOF
			#!/bin/bash
			echo "\$*" >>$T/calls
			args=("\$@")
			for ((i = 0; i < \$#; i++)); do
				case \${args[i]} in
				checkpoint) verb=checkpoint id=\${args[-1]} ;;
				restore) verb=restore at=\$i ;;
				--image-path) path=\${args[i + 1]} ;;
				esac
			done
			case \${verb-} in
			checkpoint)
				grep -h frozen $C/\$id/cgroup.events >>$T/frozen
				[ ! -e $T/fail ] || { echo "criu failed" >&2; exit 1; }
				echo pages >"\$path/pages.img" ;;
			restore)
				[ ! -e $T/fail ] && grep -q pages "\$path/pages.img" || exit 1
				exec $real "\${args[@]:0:at}" run --preserve-fds 1 --detach --pid-file "\${args[at + 5]}" --bundle "\${args[at + 7]}" "\${args[-1]}" ;;
			*) exec $real "\$@" ;;
			esac
		EOF
		chmod 755 $T/runtime/crun
		kill $daemon; wait $daemon || true
		daemon_start
		sb create --id a --rootfs $R --wait
		# no criu: files
		if ! command -v criu >/dev/null; then
			[ "$(sb checkpoint --json a | jq -r .content)" = files ]
			not grep -q checkpoint $T/calls
		fi
		printf "#!/bin/sh\n" >$T/runtime/criu; chmod 755 $T/runtime/criu
		[ "$(sb checkpoint --json --name p a | jq -r .content)" = files+processes ]
		[ "$(cat $T/frozen)" = "frozen 1" ]
		snap=$(sb snapshots --json | jq -r ".snapshots[] | select(.name == \"p\").id")
		dir=$(sb snapshots --json | jq -r ".snapshots[] | select(.name == \"p\").snapshot_dir")
		[ "$(cat $dir/processes/pages.img)" = pages ]
		sb snapshots | grep "$snap" | grep -q "files+processes"
		sb run a true # it goes on
		[ "$(sb restore --id b $snap)" = b ]
		grep -q "restore --detach --image-path $dir/processes " $T/calls
		sb run b true
		# It cannot: files, and the command anew.
		touch $T/fail
		[ "$(sb checkpoint --json --name q a | jq -r .content)" = files ]
		snap2=$(sb snapshots --json | jq -r ".snapshots[] | select(.name == \"q\").id")
		[ ! -e $T/data/sandboxes/snapshots/$snap2/processes ]
		[ ! -e $T/data/sandboxes/boxes/*/processes ]
		[ "$(sb restore --id c $snap)" = c ]
		grep -q "its processes cannot go on" $T/log
		sb run c true
		sb rm a b c
		for s in $(sb snapshots --json | jq -r ".snapshots[].id"); do sb snapshots rm $s; done
		silent ls $T/data/sandboxes/snapshots
	'
}
