#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# Debian's docker in the guest, driven by the host's client through the daemon's proxy: two boots on one disk, the first
# with a clock at 1970 and a log disk that is full. Under emulation a container takes seconds to start.
load lib.bash

setup_file()
{
	vm_test_can || return 0
	docker_folder=$("$abs_top_srcdir/vm/docker" "$VM_CACHE/docker") || return
	export docker_folder
	vm_test_disk disk 4G
	# A share of our own: the test takes programs away, and the guest writes its logs to it.
	vm_test_share arcbox
	cp -a "$docker_folder/share/runtime" "$BATS_FILE_TMPDIR/share-arcbox/" || return
	vm_docker "$docker_folder"
	VM_QEMU=(-rtc base=1970-01-01T00:00:00)
	vm_test_start "${VM_APPEND[@]}"
}

teardown_file()
{
	vm_test_stop
}

teardown()
{
	[ -n "${BATS_TEST_COMPLETED:-}" ] || [ -z "$VM_DIR" ] || console | tail -n 40 >&2
	vm_test_own_stop
}

# The host's client.
docker()
{
	"$docker_folder/bin/docker" --config "$BATS_FILE_TMPDIR/client" -H "unix://$VM_DIR/docker.sock" "$@" 3>&-
}

# until_detail TEXT: asks for the runtime's state until it says that.
until_detail()
{
	until [[ $(vm_rpc runtime status --json | jq -r .detail) == *"$1"* ]]; do
		vm_alive
		sleep 0.2
	done
}

start_wanted()
{
	run vm_rpc runtime ensure --start
	echo "$output"
	[[ $output == *"status:   starting"* ]]
}

ready()
{
	vm_rpc --timeout 600 runtime ensure --start --wait >&2
	[[ $(vm_rpc runtime ensure --json) == *'"status":"reused"'* ]]
}

sha()
{
	sha256sum "$1" | cut -d' ' -f1
}

@test "the guest has left the initramfs, so that containers can leave its root" {
	run guest 'grep " / " /proc/mounts; ls -d /new; mount >/dev/null && sh -c "echo tools"'
	echo "$output"
	[[ $output == *"root / tmpfs "*tools* ]]
	run vm_steps
	[[ $output == *" root"* ]]
}

@test "its clock, the processor's counter, goes as the host's does; emulated, it was told how fast that is" {
	local guest_before guest_after before inner outer
	before=$EPOCHREALTIME
	guest_before=$(guest 'cut -d" " -f1 /proc/uptime')
	inner=$EPOCHREALTIME
	sleep 1 # what is measured, not waited for
	inner=$(bc <<<"$EPOCHREALTIME - $inner")
	guest_after=$(guest 'cut -d" " -f1 /proc/uptime')
	outer=$(bc <<<"$EPOCHREALTIME - $before")
	echo "the host: $inner to $outer s, the guest: $guest_before to $guest_after"
	[ "$(bc <<<"d = $guest_after - $guest_before; d >= $inner * 0.9 - 0.1 && d <= $outer * 1.1 + 0.1")" = 1 ]
	run guest 'cat /sys/devices/system/clocksource/clocksource0/current_clocksource; dmesg | grep -i tsc; tr " " "\n" </proc/cmdline'
	echo "$output"
	[[ $output == tsc* ]]
	if [ "$VM_ACCEL_USED" = tcg ] && grep -qw constant_tsc /proc/cpuinfo; then
		khz=$(grep -oxE 'tsc_early_khz=[0-9]+' <<<"$output")
		grep -qE "tsc: Detected $(bc <<<"scale=3; ${khz#*=} / 1000") MHz" <<<"$output"
	fi
}

@test "a share without programs, then with two that are missing: all of them are named, and nothing starts" {
	guest 'umount /arcbox'
	start_wanted
	for name in dockerd containerd containerd-shim-runc-v2 runc; do
		until_detail "/arcbox/runtime/bin/$name"
	done
	mkdir "$BATS_FILE_TMPDIR/aside"
	mv "$BATS_FILE_TMPDIR"/share-arcbox/runtime/bin/{runc,dockerd} "$BATS_FILE_TMPDIR/aside/"
	guest 'arcmount shares --table=/etc/guestbox/shares'
	start_wanted
	until_detail "missing: /arcbox/runtime/bin/dockerd, /arcbox/runtime/bin/runc"
	run guest 'pidof containerd dockerd'
	[ -z "$output" ]
	mv "$BATS_FILE_TMPDIR"/aside/* "$BATS_FILE_TMPDIR/share-arcbox/runtime/bin/"
}

@test "EnsureRuntime, asked as the host does, from 1970 and with a full log disk: dockerd answers" {
	guest 'mkdir -p /arcbox/log && arcmount mount -t tmpfs -o size=16k tmpfs /arcbox/log &&
		! dd if=/dev/zero of=/arcbox/log/filler bs=4k 2>/dev/null'
	# The machine's own clock stands at 1970, which the boot has put right; here it is again.
	run guest 'date -s "1970-01-02 00:00:00" && date +%Y'
	[ "${lines[-1]}" = 1970 ]
	ready
	run guest 'date +%Y; df /arcbox/log | tail -n 1'
	echo "$output"
	[ "${lines[0]}" -ge 2020 ]
	[[ $output == *"100% /arcbox/log" ]]
	vm_rpc ping --set-clock >&2
	run docker version --format '{{.Server.Os}} {{.Server.Version}}'
	echo "$output"
	[[ $output == "linux "[0-9]* ]]
}

@test "an image from a tar, a container on a volume, both directions of its stream to their ends, a build, its events" {
	# One connection that stays, with others beside it.
	(exec "$docker_folder/bin/docker" -H "unix://$VM_DIR/docker.sock" events --format '{{.Type}} {{.Action}}' \
		>"$BATS_FILE_TMPDIR/events" 2>&1 3>&-) &
	events=$!
	docker import "$docker_folder/busybox.tar" busybox >&2
	until grep -qx 'image import' "$BATS_FILE_TMPDIR/events"; do
		kill -0 $events
		# it may have come too late for the first
		docker tag busybox "again:$SECONDS" >&2
		! grep -q 'image tag' "$BATS_FILE_TMPDIR/events" || break
		sleep 0.2
	done
	head -c 3000000 /dev/urandom >"$BATS_FILE_TMPDIR/blob"
	docker run --rm -i --log-driver none -v data:/data busybox sh -c \
		'cat >/data/blob; sha256sum /data/blob; mount | grep -c " /data type btrfs"; cat /data/blob >&2
		ping -c 1 -W 60 172.17.0.1 >/dev/null && echo reached' \
		<"$BATS_FILE_TMPDIR/blob" >"$BATS_FILE_TMPDIR/out" 2>"$BATS_FILE_TMPDIR/back"
	run cat "$BATS_FILE_TMPDIR/out"
	echo "$output"
	[ "${lines[0]}" = "$(sha "$BATS_FILE_TMPDIR/blob")  /data/blob" ]
	[ "${lines[1]}" = 1 ]
	[ "${lines[2]}" = reached ]
	cmp "$BATS_FILE_TMPDIR/back" "$BATS_FILE_TMPDIR/blob"

	mkdir "$BATS_FILE_TMPDIR/context"
	echo "from the host" >"$BATS_FILE_TMPDIR/context/file"
	printf '%s\n' 'FROM busybox' 'COPY file /file' 'RUN sed s/host/build/ /file >/built' 'CMD cat /built; sha256sum /data/blob' \
		>"$BATS_FILE_TMPDIR/context/Dockerfile"
	DOCKER_BUILDKIT=0 docker build --network none -q -t built "$BATS_FILE_TMPDIR/context" >&2
	for event in 'container create' 'container start' 'container attach' 'container die' 'container destroy' \
		'volume create' 'network connect'; do
		until_true grep -qx "$event" "$BATS_FILE_TMPDIR/events"
	done
	kill $events
	{ wait $events; } 2>/dev/null || true
}

@test "dockerd is killed: not ready any more, and back without being asked for, log disk full or not" {
	guest 'kill -9 $(pidof dockerd)'
	until_detail "dockerd was started again 1 time"
	until [[ $(vm_rpc runtime status --json) == *'"docker_ready":true'* ]]; do
		vm_alive
		sleep 0.3
	done
	run docker images --format '{{.Repository}}'
	echo "$output"
	[[ $output == *built* ]]
	guest 'rm /arcbox/log/filler; umount -l /arcbox/log'
}

@test "Shutdown with a container that takes two seconds to stop: dockerd first, nothing killed, the disk clean" {
	# Docker's ten seconds may be too few for it on a busy machine.
	docker run -d --name slow --stop-timeout 18 --network none -v data:/data busybox \
		sh -c 'trap "sleep 2; echo in-order >/data/slow; exit 0" TERM; echo up; while :; do sleep 0.1; done' >&2
	until [[ $(docker logs slow) == up ]]; do
		sleep 0.2
	done
	vm_rpc shutdown --grace 28
	vm_wait_off "$patience"
	run console
	[[ $output == *"guest-poweroff: stop dockerd: "*"guest-poweroff: stop containerd: "*"guest-poweroff: terminate: "* ]]
	[[ $output != *"not ended"* ]]
	[[ $output == *"/dev/vda (btrfs on /run/arcbox/data): clean, unmounted"* ]]
	[[ $output == *"reboot: Power down"* ]]
	run btrfs inspect-internal dump-super "$BATS_FILE_TMPDIR/disk"
	echo "$output"
	[ "$(awk '$1 == "log_root" { print $2 }' <<<"$output")" = 0 ]
	awk '$1 == "generation" { print $2 }' <<<"$output" >"$BATS_FILE_TMPDIR/generation"
	btrfs check --readonly "$BATS_FILE_TMPDIR/disk"
}

@test "the next boot: no log to replay, the container ended by itself, image and volume are as they were" {
	vm_stop
	vm_defaults
	VM_DISKS=("$BATS_FILE_TMPDIR/disk") VM_SHARES=("arcbox=$BATS_FILE_TMPDIR/share-arcbox")
	vm_docker "$docker_folder"
	vm_test_start "${VM_APPEND[@]}"
	run guest 'dmesg | grep -i btrfs'
	echo "$output"
	[[ $output == *"BTRFS info (device vda)"* ]]
	[[ $output != *replay* && $output != *rror* && $output != *arning* ]]
	ready
	run docker inspect -f '{{.State.ExitCode}} {{.State.Running}}' slow
	echo "$output"
	[ "$output" = "0 false" ]
	run docker run --rm --network none -v data:/data built sh -c 'cat /built /data/slow; sha256sum /data/blob'
	echo "$output"
	[ "$output" = $'from the build\nin-order\n'"$(sha "$BATS_FILE_TMPDIR/blob")  /data/blob" ]
	# What is written from here on belongs to a later transaction than all that the first boot left.
	run btrfs inspect-internal dump-super "$BATS_FILE_TMPDIR/disk"
	[ "$(awk '$1 == "generation" { print $2 }' <<<"$output")" -gt "$(cat "$BATS_FILE_TMPDIR/generation")" ]
}
