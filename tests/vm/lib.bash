# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the VM tests share: machines with a test agent inside, so that one boot serves many tests.
#
# A file of tests boots its machine in setup_file and ends it in teardown_file:
#
#   load lib
#   setup_file() { vm_test_can || return 0; vm_test_disk disk 2G; vm_test_start; }
#   teardown_file() { vm_test_stop; }
#   @test "..." { run guest 'commands for the guest'; }
#
# Everything of vm/vm.bash can be set and called as well. A boot takes some 4 s without KVM.

# make check exports both; `GUESTBOX=FILE bats tests/vm/boot.bats` works as well.
export abs_top_srcdir=${abs_top_srcdir:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
: "${GUESTBOX:?the binary under test}"

# shellcheck source=tests/lib.bash
. "$abs_top_srcdir/tests/lib.bash"
# shellcheck source=vm/vm.bash
. "$abs_top_srcdir/vm/vm.bash"
# Each test is a process of its own, which reads this file anew: the machine is setup_file's.
eval "${VM_TEST_MACHINE:-}"
vm_test_dir=$VM_DIR

# The tests may run from a build elsewhere, with a source that cannot be written to.
if [ -n "${abs_top_builddir:-}" ] && [ ! -w "$abs_top_srcdir" ]; then
	VM_CACHE=${GUESTBOX_VM_CACHE:-$abs_top_builddir/build/vm}
fi

export PATH=$PATH:/usr/sbin:/sbin # sudo and cron leave them out, and mkfs is there

test_port=org.guestbox.test.0

# Whether machines can be run here; if not, setup() skips each test and says why. (bats cannot skip in setup_file.)
vm_test_can()
{
	local program
	export VM_TEST_SKIP=''
	[ "$(id -u)" -eq 0 ] || VM_TEST_SKIP="needs root: virtiofsd"
	for program in qemu-system-x86_64 busybox mkfs.btrfs mkfs.ext4 cpio depmod socat setpriv; do
		vm_program "$program" >/dev/null || VM_TEST_SKIP="$program is not installed (tools/install-deps vm)"
	done
	[ -z "$VM_TEST_SKIP" ]
}

setup()
{
	[ -z "$VM_TEST_SKIP" ] || skip "$VM_TEST_SKIP"
}

# Makes a blank disk: vm_test_disk NAME SIZE; its path is $BATS_FILE_TMPDIR/NAME.
vm_test_disk()
{
	truncate -s "$2" "$BATS_FILE_TMPDIR/$1" && VM_DISKS+=("$BATS_FILE_TMPDIR/$1")
}

# Makes a share: vm_test_share TAG; its folder is $BATS_FILE_TMPDIR/share-TAG.
vm_test_share()
{
	mkdir -p "$BATS_FILE_TMPDIR/share-$1" && chmod 0755 "$BATS_FILE_TMPDIR/share-$1" &&
		VM_SHARES+=("$1=$BATS_FILE_TMPDIR/share-$1")
}

# How long the host waits for anything of a guest, seconds: what takes two on a quiet machine may take a hundred on one that
# has twenty other things to do.
patience=${VM_TEST_PATIENCE:-240}
PATIENCE=$patience # until_true's
VM_RPC_PATIENCE=$patience

# Boots with the agent and waits until /init is done; arguments are more words for the kernel command line.
vm_test_start()
{
	VM_PORTS+=("$test_port")
	VM_INITRD_OPTIONS+=(--add "$abs_top_srcdir/tests/vm/agent:/lib/guestbox/test-agent")
	VM_APPEND=("guestbox.data=${VM_TEST_DATA:-$([ ${#VM_DISKS[@]} -gt 0 ] && echo /dev/vda || echo none)}"
		guestbox.run=/lib/guestbox/test-agent "$@")
	vm_start 3>&- || return
	vm_test_export
	[ -z "${VM_TEST_HOOK:-}" ] || "$VM_TEST_HOOK" || return # while the kernel boots, or waits for `cont` (-S)
	vm_wait_console 'guestbox: ready' "$patience" >/dev/null && return
	vm_console_tail 30 >&2
	vm_test_stop
	return 1
}

# Makes the machine known to the processes of the tests.
vm_test_export()
{
	export VM_TEST_MACHINE
	printf -v VM_TEST_MACHINE '%s=%q; ' VM_DIR "$VM_DIR" VM_PID "$VM_PID" VM_RPC "$VM_RPC" VM_CID "$VM_CID" \
		VM_ACCEL_USED "$VM_ACCEL_USED" VM_TRANSPORT_USED "$VM_TRANSPORT_USED"
	VM_TEST_MACHINE+="VM_HELPERS=(${VM_HELPERS[*]})"
}

vm_test_stop()
{
	vm_stop
	vm_test_export
}

# Ends a machine that a test has started beside that of its file, or in its place.
vm_test_own_stop()
{
	[ "$VM_DIR" = "$vm_test_dir" ] || vm_stop
}

teardown()
{
	vm_test_own_stop
}

# Runs commands in the guest as root: prints what they print, answers as they do (or 125: no answer).
guest()
{
	local line status=125 agent
	coproc agent { exec socat -t 0.2 - "UNIX-CONNECT:$VM_DIR/$test_port" 3>&-; }
	# shellcheck disable=SC2154 # coproc sets agent_PID
	local pid=$agent_PID
	printf '%s\n' "$(base64 -w0 <<<"$1")" >&"${agent[1]}"
	if IFS= read -r -t "${2:-$patience}" line <&"${agent[0]}"; then
		status=${line%% *}
		base64 -d <<<"${line#* }"
	fi
	kill "$pid" 2>/dev/null
	{ wait "$pid"; } 2>/dev/null || true
	return "$status"
}

# What the console showed so far.
console()
{
	tr -d '\r' <"$VM_DIR/console.log"
}
