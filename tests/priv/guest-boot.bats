#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# guest-boot below a folder of its own, in a private mount namespace.
load ../lib.bash

setup() {
	need_applet guest-boot
	T=$BATS_TEST_TMPDIR/root
	mkdir "$T"
}

teardown() {
	umount -l /sys/bus /sys/class 2>/dev/null || true
	for d in sys/devices/system/cpu/cpu0/cache/index0 sys/fs/cgroup tmp run dev/shm dev/pts sys proc dev; do
		umount -l "$T/$d" 2>/dev/null || true
	done
}

@test "pseudo-fs: everything is there with its mode, and a second time nothing is mounted again" {
	gb guest-boot pseudo-fs --root "$T"
	for d in dev proc sys dev/pts dev/shm run tmp sys/fs/cgroup; do mountpoint -q "$T/$d"; done
	[ "$(stat -c %a "$T/run" "$T/tmp" "$T/dev/shm" | tr '\n' ' ')" = "755 1777 1777 " ]
	[ "$(readlink "$T/dev/stdin")" = /proc/self/fd/0 ]
	[ -f "$T/run/guestbox/timeline" ]
	grep " $T/run " /proc/self/mountinfo | grep nosuid | grep -q nodev
	before=$(grep -c " $T/" /proc/self/mountinfo)
	gb guest-boot pseudo-fs --root "$T"
	[ "$(grep -c " $T/" /proc/self/mountinfo)" = "$before" ]
}

@test "pseudo-fs: one that fails is named, the others are there" {
	mkdir "$T/sys" "$T/dev"
	: >"$T/run"
	run gb guest-boot pseudo-fs --root "$T"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"$T/run"* ]]
	mountpoint -q "$T/tmp"
	mountpoint -q "$T/sys/fs/cgroup"
}

@test "cpu-cache: a cache without a size gets one; what is there is copied; a second run finds all in place" {
	c=$T/sys/devices/system/cpu/cpu0/cache
	mkdir -p "$c/index0" "$c/index2"
	echo 1 >"$c/index0/level"
	echo Data >"$c/index0/type"
	echo 512K >"$c/index2/size"
	run gb guest-boot cpu-cache --root "$T"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = "cache index0: sizes were missing" ]
	[ "$(cat "$c/index0/size" "$c/index0/coherency_line_size" "$c/index0/number_of_sets" "$c/index0/type" | tr '\n' ' ')" = \
		"64K 64 256 Data " ]
	[ "$(cat "$c/index2/size")" = 512K ]
	run gb guest-boot cpu-cache --root "$T"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

# A machine's devices, in place of this one's: their buses, and what depmod(8) would say of modules that nobody has.
devices() {
	mount -t tmpfs tmpfs /sys/bus
	mkdir -p /sys/bus/virtio/devices/virtio{0,1,2} /sys/bus/acpi/devices/{ACPI0012:00,LNXSYBUS:00} /sys/bus/nd/devices/region0
	echo virtio:d00000001v00001AF4 >/sys/bus/virtio/devices/virtio0/modalias
	: >/sys/bus/virtio/devices/virtio1/modalias # and none at all for virtio2
	echo acpi:ACPI0012: >/sys/bus/acpi/devices/ACPI0012:00/modalias
	echo acpi:LNXSYBUS: >/sys/bus/acpi/devices/LNXSYBUS:00/modalias
	echo nd:t4 >/sys/bus/nd/devices/region0/modalias
	mkdir -p "$T/kernel"
	for name in net needed nvdimm pmem other; do : >"$T/kernel/gbtest-$name.ko"; done
	cat >"$T/modules.dep" <<-END
		kernel/gbtest-net.ko: kernel/gbtest-needed.ko
		kernel/gbtest-needed.ko:
		kernel/gbtest-nvdimm.ko:
		kernel/gbtest-pmem.ko:
		kernel/gbtest-other.ko:
	END
	cat >"$T/modules.alias" <<-END
		alias virtio:d00000001v* gbtest_net
		alias acpi*:ACPI0012:* gbtest_nvdimm
		alias acpi*:LNXSYBUS:* gbtest_other
		alias nd:t4* gbtest_pmem
	END
}

@test "modules: what the devices ask for is loaded, what it needs before it; one that takes its time is on the timeline" {
	devices
	export GUESTBOX_CMDLINE=/dev/null GUESTBOX_KMSG=/dev/null GUESTBOX_TIMELINE=$T/timeline
	: >"$T/timeline"
	run faulty "finit_module:retval=0:delay_exit=3000" guest-boot modules --dir "$T" --devices
	echo "$output"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	run gb boot-timeline -a --json
	[ "$(jq -r '.steps[] | select(.track == "kernel") | .name' <<<"$output" | paste -sd,)" = \
		"module gbtest_needed,module gbtest_net,module gbtest_nvdimm,module gbtest_pmem" ]
	# A driver whose device, or whose hypervisor, is not here ends by itself; any other end is told, and all are tried.
	run faulty finit_module:error=ENODEV guest-boot modules --dir "$T" --devices gbtest_net
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	fails 1 "gbtest_needed: $T/kernel/gbtest-needed.ko: Exec format error" \
		faulty finit_module:error=ENOEXEC guest-boot modules --dir "$T" gbtest_net
	printf 'gbtest_other # a word\n\ngbtest_pmem\n' >"$T/list"
	echo "quiet guestbox.modules=gbtest_nvdimm guestbox.modules" >"$T/cmdline"
	GUESTBOX_CMDLINE=$T/cmdline run faulty finit_module:error=ENOEXEC guest-boot modules --dir "$T" --list "$T/list"
	echo "$output"
	[ "$status" -eq 1 ]
	[ "$(sed 's/^guest-boot: \([a-z_]*\): .*/\1/' <<<"$output" | paste -sd,)" = gbtest_other,gbtest_pmem,gbtest_nvdimm ]
}

@test "port: found by its whole name; one that comes late is waited for, as long as there is a driver" {
	mount -t tmpfs tmpfs /sys/class
	mount -t tmpfs tmpfs /sys/bus
	mkdir -p /sys/class/virtio-ports/vport0p{0,1}
	echo org.guestbox.rpc.01 >/sys/class/virtio-ports/vport0p1/name
	run gb guest-boot port --wait 100 org.guestbox.rpc.0 # without a driver none will come
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	mkdir -p /sys/bus/virtio/drivers/virtio_console/{virtio3,module}
	run gb guest-boot port --wait 0.05 org.guestbox.rpc.0
	[ "$status" -eq 1 ]
	"$GUESTBOX" guest-boot port --wait 120 org.guestbox.rpc.0 3>&- &
	asker=$!
	echo org.guestbox.rpc.0 >/sys/class/virtio-ports/vport0p0/name
	wait $asker
}

@test "pseudo-fs: of the machine itself it says that more lines go to the log, and that more descriptors may be had" {
	# Its own mounts, and files in the place of the kernel's settings: what is no mount point here would be covered.
	cat >"$T/script" <<-'END'
		set -e
		for d in /dev /dev/pts /proc /sys /run /tmp /sys/fs/cgroup; do mountpoint -q $d || mount --bind $d $d; done
		mount -t tmpfs tmpfs /run
		! mountpoint -q /dev/shm || umount -l /dev/shm
		echo ratelimit >"$1/devkmsg"
		echo 1000 >"$1/nr_open"
		mount --bind "$1/devkmsg" /proc/sys/kernel/printk_devkmsg
		mount --bind "$1/nr_open" /proc/sys/fs/nr_open
		"$2" guest-boot pseudo-fs
		mountpoint -q /dev/shm
		[ -f /run/guestbox/timeline ]
		[ -p /run/guestbox/rpcd-ready ]
		read -r word <"$1/devkmsg"; [ "$word" = on ]
		[ "$(cat "$1/nr_open")" = 1048576 ]
		echo 2000000 >"$1/nr_open"
		"$2" guest-boot pseudo-fs
		[ "$(cat "$1/nr_open")" = 2000000 ] # never lowered
	END
	run unshare --mount --propagation private bash "$T/script" "$T" "$GUESTBOX"
	echo "$output"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "cpu-cache: what cannot be written is one line" {
	mkdir -p "$T/sys/devices/system/cpu/cpu0/cache/index1"
	: >"$T/run"
	fails 1 "$T/run/arcbox/cache-fixup/index1: Not a directory" gb guest-boot cpu-cache --root "$T"
	fails 1 "File name too long" gb guest-boot cpu-cache --root "/$(printf '%04090d' 0)"
}
