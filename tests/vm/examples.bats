#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# examples/vmm: QEMU's is run as it stands; of the others, which Debian does not have, what can be seen without them.
# examples/from-shell: both scripts boot, by the commands of docs/from-shell.md.
load lib.bash

setup_file() { vm_test_can || true; }

teardown()
{
	[ -z "${machine:-}" ] || kill "$machine" 2>/dev/null || true
	[ -n "${BATS_TEST_COMPLETED:-}" ] || [ -z "$VM_DIR" ] || vm_console_tail 40 >&2
	vm_stop
	cat "$BATS_TEST_TMPDIR/console" >&2 2>/dev/null || true
}

rpc() { "$GUESTBOX" vsock-rpc --connect "$address" --timeout "${wait:-240}" "$@"; }

@test "QEMU: the command line boots a guest with a data disk and a folder, the daemon answers, and it ends" {
	local dir=$BATS_TEST_TMPDIR/sockets end
	mkdir "$dir" "$BATS_TEST_TMPDIR/folder"
	chmod 755 "$BATS_TEST_TMPDIR/folder"
	echo hello >"$BATS_TEST_TMPDIR/folder/file"
	truncate -s 1G "$BATS_TEST_TMPDIR/disk"
	vm_find_kernel
	"$abs_top_srcdir/init/mkinitramfs" -g "$GUESTBOX" -m "$VM_MODULES" -o "$BATS_TEST_TMPDIR/initramfs"
	cid=$((BASHPID % 1000000 + 1000))
	address=unix:$dir/rpc
	[ ! -w /dev/vhost-vsock ] || address=vsock:$cid:1024
	# /dev/kvm may be there and hang: vm/vm.bash probes it. Without erms the emulator is faster; the words are for that.
	DIR=$dir CID=$cid ACCEL=tcg APPEND="no_timer_check" setpriv --pdeathsig TERM "$abs_top_srcdir/examples/vmm/qemu" "$VM_KERNEL" \
		"$BATS_TEST_TMPDIR/initramfs" "$BATS_TEST_TMPDIR/disk" "$BATS_TEST_TMPDIR/folder" \
		>"$BATS_TEST_TMPDIR/console" 2>&1 </dev/null 3>&- &
	machine=$!
	end=$((SECONDS + 240))
	until wait=5 rpc ping hello; do kill -0 "$machine"; [ $SECONDS -lt $end ]; sleep 0.2; done
	[ "$(rpc mmap /arcbox/file)" = hello ]
	rpc shutdown
	wait "$machine"
	machine=''
	grep -q 'step data-disk: done' "$BATS_TEST_TMPDIR/console"
	grep -q 'reboot: Power down' "$BATS_TEST_TMPDIR/console"
	btrfs check --readonly "$BATS_TEST_TMPDIR/disk"
}

@test "Firecracker: the machine's JSON is whole, and the script puts files and words in" {
	run env DIR="$BATS_TEST_TMPDIR" MEMORY=512 CID=7 APPEND=quiet "$abs_top_srcdir/examples/vmm/firecracker" --print /k /i /d
	[ "$status" -eq 0 ]
	[ "$(jq -r '[."boot-source".kernel_image_path, ."boot-source".initrd_path, .drives[0].path_on_host, .drives[0].cache_type,
		."machine-config".mem_size_mib, .vsock.guest_cid, .vsock.uds_path] | join(" ")' <<<"$output")" = \
			"/k /i /d Writeback 512 7 $BATS_TEST_TMPDIR/vsock" ]
	[[ $(jq -r '."boot-source".boot_args' <<<"$output") == *' guestbox.data=/dev/vda quiet' ]]
	run env DIR="$BATS_TEST_TMPDIR" "$abs_top_srcdir/examples/vmm/firecracker" --print /k /i
	[ "$(jq -c '[.drives, ."boot-source".boot_args]' <<<"$output")" = \
		'[[],"console=ttyS0 loglevel=5 reboot=k panic=1 guestbox.data=none"]' ]
}

@test "Cloud Hypervisor, crosvm: each word arrives whole, with a folder whose name has a space" {
	mkdir -p "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/a b"
	for name in cloud-hypervisor crosvm; do
		printf '#!/bin/sh\nprintf "%%s\\n" "$@"\n' >"$BATS_TEST_TMPDIR/bin/$name"
	done
	printf '#!/bin/sh\nfor a; do case $a in --socket-path=*) exec socat "UNIX-LISTEN:${a#*=}" STDIO ;; esac; done\n' \
		>"$BATS_TEST_TMPDIR/bin/virtiofsd"
	chmod +x "$BATS_TEST_TMPDIR"/bin/*
	export PATH=$BATS_TEST_TMPDIR/bin:$PATH DIR=$BATS_TEST_TMPDIR/a
	mkdir "$DIR"
	run "$abs_top_srcdir/examples/vmm/crosvm" /k /i "/d d" "$BATS_TEST_TMPDIR/a b" 3>&-
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = run ]
	[ "${lines[-1]}" = /k ]
	[[ $output == *$'\npath=/d d\n'*$'\n'"$BATS_TEST_TMPDIR/a b:arcbox:type=fs:cache=auto"$'\n'* ]]
	run timeout 120 "$abs_top_srcdir/examples/vmm/cloud-hypervisor" /k /i "/d d" 3>&-
	[ "$status" -eq 0 ]
	[[ $output == *$'\npath=/d d\n--cmdline\nconsole=ttyS0 loglevel=5 panic=-1 guestbox.data=/dev/vda '* ]]
}

@test "a boot script, and what docs/from-shell.md makes of it: both boot, the second on the disk of the first" {
	local page=$abs_top_srcdir/docs/from-shell.md uuid
	cd "$BATS_TEST_TMPDIR"
	truncate -s 1G disk.img
	printf '%s\n' '#!/bin/sh' 'guest-boot port org.guestbox.rpc.0 && set -- "$@" --listen virtio:org.guestbox.rpc.0' \
		'grep -c " btrfs " /proc/mounts >/run/mounts' 'exec vsock-rpcd --mmap-root /run "$@"' >agent
	chmod +x agent
	VM_DISKS=("$PWD/disk.img")
	VM_INITRD_OPTIONS=(--init "$abs_top_srcdir/examples/from-shell/before" --add "$PWD/agent:/bin/agent"
		--program "$(vm_program blkid)" --program "$(vm_program btrfs)" --program "$(vm_program chattr)")
	vm_start 3>&-
	vm_wait_console 'init: ready after' "$patience"
	vm_wait_rpc "$patience"
	[ "$(vm_rpc mmap /run/mounts)" = 3 ]
	vm_rpc shutdown
	vm_wait_off "$patience"
	run console
	echo "$output"
	[[ $output == *"init: formatting /dev/vda"*"init: going down"*"reboot: Power down"* ]]
	[[ $output != *FAILED* && $output != *"not found"* ]]
	vm_stop
	uuid=$(blkid -p -s UUID -o value disk.img)

	# The page's own commands, where they find what they name.
	ln -s "$abs_top_srcdir"/{vm,init,examples} .
	mkdir -p build/static
	ln -s "$GUESTBOX" build/static/guestbox
	sed -n 's/^    //p' "$page" >commands
	grep -q '^vm/run ' commands
	sed -i -e "s|^vm/run |&--timeout $patience |" -e "s|info'|info; cat \$VM_DIR/console.log'|" commands
	GUESTBOX_VM_CACHE=$VM_CACHE run bash -e commands 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"hostname: "*" guestbox"*" btrfs"*"subvolume   @k3s: already so"*"guestbox: ready"* ]]
	[[ $output != *"failed:"* ]]
	[ "$(blkid -p -s UUID -o value disk.img)" = "$uuid" ]
	# What the page says of the two.
	for name in before after; do
		lines=$(wc -l <"$abs_top_srcdir/examples/from-shell/$name")
		tr '\n' ' ' <"$page" | grep -qE "examples/from-shell/$name\)[^,]*, $lines lines"
	done
	functions=$(sed -n 's/^| `\([a-z]*_[a-z_]*\)`.*/\1/p' "$page")
	[ "$(wc -w <<<"$functions")" -ge 6 ]
	for function in $functions; do
		grep -qx "$function()" "$abs_top_srcdir/examples/from-shell/before"
	done
}
