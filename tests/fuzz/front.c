/* SPDX-License-Identifier: MIT */
/* Fuzz target: vsock-rpcd's front and helper, both in one process, with a client between whose bytes and pauses are the
 * input. A kind of connection, a policy, then for each piece its length and its bytes; a length of 0 reads what has come
 * back, 254 ends the client's side, 255 gives front and helper turns without more. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/log.h"
#include "common/sys/confine.h"
#include "tests/fuzz/fuzz.h"

enum { TURNS = 400 };

/* One round of its descriptors; no deadline is near. */
static void turn(struct rpcd *rpcd)
{
	int n = epoll_wait(rpcd->loop.epoll, rpcd->loop.batch, GB_LOOP_BATCH, 0);

	rpcd->loop.batch_len = n < 0 ? 0 : n;
	for (rpcd->loop.batch_at = 0; rpcd->loop.batch_at < rpcd->loop.batch_len;) {
		const struct epoll_event *event = &rpcd->loop.batch[rpcd->loop.batch_at++];
		struct gb_io *io = event->data.ptr;
		if (io)
			io->fn(io, event->events);
	}
	rpcd->loop.batch_len = rpcd->loop.batch_at = 0;
}

static struct rpcd *begin(void (*prepare)(struct rpcd *), int link, const char *policy)
{
	struct rpcd *rpcd = calloc(1, sizeof *rpcd);
	struct gb_err err;

	if (!rpcd)
		abort();
	TAILQ_INIT(&rpcd->conns);
	rpcd->conns_max = 16;
	rpcd->idle_ms = rpcd->frame_ms = 600000;
	if (gb_policy_parse(policy, strlen(policy), "policy", &rpcd->policy, &err) < 0)
		abort();
	prepare(rpcd);
	if (gb_loop_open(&rpcd->loop) < 0 || rpcd_link_open(&rpcd->link, link) < 0)
		abort();
	return rpcd;
}

static void end(struct rpcd *rpcd)
{
	struct gb_conn *conn;

	while ((conn = TAILQ_FIRST(&rpcd->conns)))
		gb_conn_end(conn);
	rpcd_link_close(&rpcd->link);
	gb_loop_close(&rpcd->loop);
	free(rpcd);
}

/* Whether all is within its bounds. */
static void check(const struct rpcd *rpcd)
{
	struct gb_conn *conn;

	TAILQ_FOREACH(conn, &rpcd->conns, link) {
		if (conn->rx.len > (2 << 20) || conn->tx.len > (4 << 20) || rpcd_client_of(conn)->pending.len > (2 << 20))
			abort();
	}
}

/* No input may do anything to this machine: a Ping sets the clock of whoever has the right to. */
static void disarm(void)
{
	static bool done;

	if (!done && (gb_confine_caps() < 0 || clock_settime(CLOCK_REALTIME, &(struct timespec){ .tv_sec = -1 }) == 0))
		abort();
	(void)signal(SIGPIPE, SIG_IGN);
	done = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Nothing that changes this machine, starts threads or asks the network: the state machines are what is tried. */
	static const char *const policies[] = { "default=deny\nping=allow", "default=deny", "default=deny\nping=allow\nsandbox=deny" };
	static char back[65536];
	int link[2], pair[2];

	if (size < 2 || size > 65536)
		return 0;
	gb_pb_start();
	disarm();
	gb_log_level(GB_LOG_ERR);
	if (rpcd_link_pair(link) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		abort();
	const char *policy = policies[data[1] % 3];
	struct rpcd *front = begin(rpcd_front_prepare, link[0], policy), *helper = begin(rpcd_helper_prepare, link[1], policy);
	struct rpcd_client *client = rpcd_client_new(front, data[0] % 3, "fuzz");
	if (!client || gb_conn_start(&client->conn, pair[0], pair[0]) < 0)
		abort();
	for (size_t at = 2; at < size;) {
		size_t n = data[at++];
		if (n == 254) {
			(void)shutdown(pair[1], SHUT_WR);
		} else if (n == 0) {
			while (recv(pair[1], back, sizeof back, 0) > 0)
				;
		} else if (n < 254) {
			n = n < size - at ? n : size - at;
			(void)send(pair[1], data + at, n, MSG_NOSIGNAL);
			at += n;
		}
		turn(front);
		turn(helper);
		if (n == 255)
			turn(front);
		check(front);
		check(helper);
	}
	/* A client that is gone leaves nothing behind, in either. */
	(void)close(pair[1]);
	for (int i = 0; i < TURNS && (front->conns_len || helper->conns_len); i++) {
		turn(front);
		turn(helper);
	}
	if (data[0] % 3 != GB_CONN_PORT && (front->conns_len || helper->conns_len))
		abort();
	end(front);
	end(helper);
	return 0;
}
