#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# A start that does not come to an end in a minute: for tests/torture/sandbox.
load ../lib.bash
load ../priv/sandbox.bash

@test "starts that do not come to an end: given up after a minute, and undone when they do" {
	sandbox_hold_starts
	sandbox_inside '
		: >$T/hold; : >$T/held
		for i in 1 2; do sb create --id s$i --rootfs $R >/dev/null; done
		timeout 300 "$GUESTBOX" vsock-rpc --timeout 300 --connect "unix:$T/s" \
			sandbox launch --id s3 --rootfs $R true >$T/out 2>&1 & host=$!
		export PATIENCE=3000
		until_ state_is s1 failed; until_ state_is s2 failed; until_ state_is s3 failed
		wait $host || true; grep -q "error 500: its start has not come" $T/out
		refused 500 "its start has not come to an end in" sb rm s1
		refused 500 "its start has not come to an end in" sb rm -f s3
		refused 412 "" sb run s2 true
		: >$T/go
		gone() { [ "$(sb ls --json | jq -r ".sandboxes[].id")" = s2 ]; }
		until_ gone
		state_is s2 failed
		sb rm s2
		until_ not processes
		silent ls $T/data/sandboxes/boxes
	'
}
