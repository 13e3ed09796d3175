#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
# The tests of sandbox.bats that a runtime has most of a part in, with runc instead of crun. (All of them, and those of the
# other files: SANDBOX_RUNTIME=runc make check TESTS=tests/priv/sandbox.bats.)
load ../lib.bash

@test "runc: sandboxes, commands, the end of both, snapshots, a daemon that is killed: as with crun" {
	need_applet vsock-rpcd
	need_applet vsock-rpc
	command -v runc >/dev/null || skip "no runc"
	local main='^(create, inspect|exit statuses|exec: a grandchild|stop is graceful|kill -9|checkpoint and)' out
	# What this bats exports is not that one's.
	out=$(env $(compgen -e BATS_ | sed '/^BATS_TEST_TIMEOUT$/d; s/^/-u /') SANDBOX_RUNTIME=runc \
		bats --tap --filter "$main" "$BATS_TEST_DIRNAME/sandbox.bats" 3>&- 2>&1) || { tap_failures <<<"$out"; return 1; }
	tap_failures <<<"$out"
	[ "$(grep -c '^ok [0-9]' <<<"$out")" -ge 6 ]
	not grep -q '# skip' <<<"$out"
}
