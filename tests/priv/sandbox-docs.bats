#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# What docs/sandboxes.md shows is what happens.
load ../lib.bash
load sandbox.bash

@test "the worked example of docs/sandboxes.md prints what the page says" {
	cp "$abs_top_srcdir/docs/sandboxes.md" "$T/page"
	sandbox_inside '
		cd $T/img
		vsock-rpc() { timeout 300 "$GUESTBOX" vsock-rpc "$@"; }
		export GUESTBOX_RPC=unix:$T/s
		tar -C $R -cf rootfs.tar .
		# dates, sizes and numbers of files are those of another day and root
		plain() { sed -E "s/[0-9]{4}-[0-9-]+T[0-9:]+Z/DATE/; s/[0-9]+ files, [0-9.]+[KMG]/N files, SIZE/; s/(DATE +)[0-9]+ +[0-9.]+[KMG]\$/\1N SIZE/"; }
		sed -n "/^## An example/,/^## Images/{ /^\`\`\`/,/^\`\`\`/{ /^\`\`\`/!p } }" $T/page >example
		status=0 commands=0
		while IFS= read -r line; do
			case $line in
			"\$ "*)
				echo "$line" >>is
				s=0; eval "(exit $status); ${line#"\$ "}" >out 2>&1 </dev/null || s=$?
				status=$s commands=$((commands + 1))
				cat out >>is ;;
			esac
		done <example
		diff <(plain <example) <(plain <is)
		[ $commands -ge 15 ]
		sb image rm alpine
	'
}
