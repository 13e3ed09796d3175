#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# vm/run and init/mkinitramfs: nothing stays behind, and wrong input is one line.
load lib.bash

setup_file()
{
	local found
	vm_test_can || return 0
	found=$("$abs_top_srcdir/vm/kernel" "$VM_CACHE/kernel")
	export test_kernel=${found%%$'\n'*} test_modules=${found##*$'\n'}
	"$abs_top_srcdir/init/mkinitramfs" --guestbox "$GUESTBOX" --modules "$test_modules" -o "$BATS_FILE_TMPDIR/initramfs"
}

setup()
{
	[ -z "$VM_TEST_SKIP" ] || skip "$VM_TEST_SKIP"
	export TMPDIR=$BATS_TEST_TMPDIR
	image=$BATS_FILE_TMPDIR/initramfs
	run_vm=("$abs_top_srcdir/vm/run" --timeout "$patience" --guestbox "$GUESTBOX")
	make_image=("$abs_top_srcdir/init/mkinitramfs" --guestbox "$GUESTBOX")
}

# Processes that have the test's own folder in their arguments.
left_over()
{
	local file
	for file in /proc/[0-9]*/cmdline; do
		case $({ tr '\0' ' ' <"$file"; } 2>/dev/null) in
		*"$TMPDIR"/guestbox-vm.*) echo "$file" ;;
		esac
	done
	find "$TMPDIR" -name 'guestbox-vm.*'
}

# fails_with STATUS TEXT COMMAND...: one line that holds TEXT (and, for a usage error, where help is).
fails_with()
{
	local want=$1 text=$2
	shift 2
	run "$@"
	echo "$status: $output"
	[ "$status" -eq "$want" ] && [[ ${lines[0]} == *"$text"* ]] && [ ${#lines[@]} -le $((want == 2 ? 2 : 1)) ]
}

@test "the same input gives the same initramfs, whoever builds it" {
	sleep 1
	(umask 077 && "${make_image[@]}" --modules "$test_modules" -o "$BATS_TEST_TMPDIR/again")
	cmp "$image" "$BATS_TEST_TMPDIR/again"
	run cpio -itv --quiet <"$image"
	[[ $output == *" init"* ]]
	# Nobody but root owns anything, and no name of the building machine is in it.
	[ -z "$(grep -vE '^[^ ]+ +[0-9]+ root +root ' <<<"$output")" ]
	[ "$(grep -cF "$BATS_FILE_TMPDIR" "$image")" -eq 0 ]
}

@test "each way to compress it holds the same archive" {
	for how in gzip zstd; do
		"${make_image[@]}" --modules "$test_modules" -o "$BATS_TEST_TMPDIR/packed" --compress $how
		"$how" -dc <"$BATS_TEST_TMPDIR/packed" | cmp - "$image"
	done
}

@test "mkinitramfs answers bad input with one line, and writes nothing" {
	out=$BATS_TEST_TMPDIR/out
	fails_with 2 "--guestbox" "$abs_top_srcdir/init/mkinitramfs"
	fails_with 2 "--modules" "${make_image[@]}" -o "$out"
	fails_with 2 "--no-such" "${make_image[@]}" --no-such x
	fails_with 2 "lz9" "${make_image[@]}" --modules "$test_modules" -o "$out" --compress lz9
	fails_with 1 "/nowhere" "${make_image[@]}" --modules /nowhere -o "$out"
	fails_with 1 "no_such_module" "${make_image[@]}" --modules "$test_modules" -o "$out" --module no_such_module
	fails_with 1 "/nowhere" "$abs_top_srcdir/init/mkinitramfs" --guestbox /nowhere --modules "$test_modules" -o "$out"
	fails_with 1 "/nowhere" "${make_image[@]}" --modules "$test_modules" -o "$out" --add /nowhere:/x
	printf '#!/bin/sh\necho mmapcat\n' >"$BATS_TEST_TMPDIR/bare"
	chmod +x "$BATS_TEST_TMPDIR/bare"
	fails_with 1 "built without arcmount" "$abs_top_srcdir/init/mkinitramfs" --guestbox "$BATS_TEST_TMPDIR/bare" \
		--modules "$test_modules" -o "$out"
	[ ! -e "$out" ]
}

@test "vm/run answers bad input with one line, and leaves nothing" {
	fails_with 2 "--no-such" "${run_vm[@]}" --no-such x -- true
	fails_with 2 "--memory" "${run_vm[@]}" --memory
	fails_with 2 "COMMAND" "${run_vm[@]}" </dev/null
	fails_with 1 "/nowhere" "${run_vm[@]}" --kernel /nowhere --modules "$test_modules" -- true
	fails_with 1 "/nowhere" "${run_vm[@]}" --disk /nowhere -- true
	fails_with 1 "/nowhere" "${run_vm[@]}" --share arcbox=/nowhere -- true
	fails_with 1 "memory" "${run_vm[@]}" --memory lots -- true
	[ -z "$(left_over)" ]
}

@test "vm/run ends as its command does" {
	run "${run_vm[@]}" --kernel "$test_kernel" --initrd "$image" -- \
		sh -c 'kill -0 "$VM_PID" && grep -q "guestbox: ready" "$VM_DIR/console.log" && exit 42'
	echo "$output"
	[ "$status" -eq 42 ]
	[ -z "$(left_over)" ]
}

@test "a signal to vm/run, kill -9 too, ends the machine" {
	mkdir "$BATS_TEST_TMPDIR/share"
	for signal in INT TERM HUP KILL; do
		# INT is ignored by what a shell without job control starts in the background, HUP under nohup(1), and a
		# shell that was born so cannot trap them; env gives them back.
		env --default-signal=HUP,INT "${run_vm[@]}" --kernel "$test_kernel" --initrd "$image" \
			--share "arcbox=$BATS_TEST_TMPDIR/share" -- sleep 1000 3>&- &
		pid=$!
		runs() { [ -n "$(find "$TMPDIR" -path '*/guestbox-vm.*' -name qmp)" ]; }
		until_true runs
		[ -n "$(left_over)" ]
		kill -"$signal" "$pid"
		wait "$pid" || true
		# Nobody can remove the folder after kill -9.
		[ $signal != KILL ] || rm -rf "$TMPDIR"/guestbox-vm.*
		clean() { [ -z "$(left_over)" ]; }
		until_true clean || { echo "$signal: $(left_over)"; false; }
	done
}

@test "a boot that cannot go on says so and powers off" {
	# A guestbox that can do nothing.
	mkdir "$BATS_TEST_TMPDIR/bin"
	cat >"$BATS_TEST_TMPDIR/bin/guestbox" <<-'END'
		#!/bin/sh
		case $1 in
		--list) printf '%s\n' arcmount btrfs-bootstrap guest-boot guest-clock guest-init guest-net guest-poweroff vsock-rpcd; exit ;;
		--install) for n in guest-boot guest-poweroff; do ln -s guestbox "$4/$n"; done; exit ;;
		esac
		echo "${0##*/}: broken for the test" >&2
		exit 1
	END
	chmod +x "$BATS_TEST_TMPDIR/bin/guestbox"
	"$abs_top_srcdir/init/mkinitramfs" --guestbox "$BATS_TEST_TMPDIR/bin/guestbox" \
		--modules "$test_modules" -o "$BATS_TEST_TMPDIR/broken"
	VM_KERNEL=$test_kernel VM_INITRD=$BATS_TEST_TMPDIR/broken
	vm_start 3>&-
	vm_wait_off "$patience" || true
	run console
	vm_stop
	echo "$output"
	[[ $output == *"guest-boot: broken for the test"* ]]
	[[ $output == *"guestbox: steps: failed with status 1: pseudo-file-systems guest-boot pseudo-fs"* ]]
	[[ $output == *"the boot stops here"* ]]
	[[ $output == *"Power down"* ]]
}
