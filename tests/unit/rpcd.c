/* SPDX-License-Identifier: MIT */
/* vsock-rpcd's two processes: the link between them when it is full, cut or fed with nonsense, and what either makes of words
 * that the other should not have said. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"

enum { MANY = 4000, EACH = 7 }; /* words; each so many with a descriptor */

static struct gb_loop *spinning;

static void on_pause(struct gb_timer *timer)
{
	(void)timer;
	gb_loop_stop(spinning, 77);
}

/* Some turns: all that is ready is handled, and what that makes ready; 77, or what the loop was stopped with. */
static int spin(struct gb_loop *loop)
{
	struct gb_timer pause = { .fn = on_pause };
	int r = 77;

	spinning = loop;
	for (int i = 0; r == 77 && i < 3; i++) { /* a turn handles its descriptors before its timers, however late it is */
		loop->stopped = false;
		gb_loop_timer(loop, &pause, 1);
		r = gb_loop_run(loop);
	}
	gb_loop_timer_stop(&pause);
	return r;
}

/* ---- the raw end of a link ---- */

static void say(int to, const struct rpcd_word *word, size_t len, int fd)
{
	unit_send_fds(to, word, len, fd, fd >= 0);
}

static void tell(int to, uint32_t kind, uint32_t id, int fd)
{
	struct rpcd_word word = { .kind = kind, .id = id };

	say(to, &word, sizeof word, fd);
}

/* A word, if there is one; its descriptor or -1 is the caller's. */
static bool hear(int from, struct rpcd_word *word, int *fd)
{
	struct iovec part = { .iov_base = word, .iov_len = sizeof *word };
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes };
	ssize_t n = recvmsg(from, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*fd = -1;
	if (n < 0)
		return false;
	assert_int_equal(n, sizeof *word);
	if (msg.msg_controllen)
		memcpy(fd, CMSG_DATA(&control.head), sizeof *fd);
	return true;
}

/* ---- the link ---- */

static struct {
	struct gb_loop loop;
	struct rpcd_link link;
	int raw;
	unsigned words, gone;
	struct rpcd_word last;
	unsigned before; /* descriptors */
} t;

static void on_word(struct rpcd_link *link, const struct rpcd_word *word, int fd)
{
	(void)link;
	t.words++;
	t.last = *word;
	if (fd >= 0)
		(void)close(fd);
}

static void on_gone(struct rpcd_link *link)
{
	(void)link;
	t.gone++;
}

static int begin(void **state)
{
	int pair[2];

	(void)state;
	memset(&t, 0, sizeof t);
	t.before = unit_descriptors();
	assert_int_equal(gb_loop_open(&t.loop), 0);
	assert_int_equal(rpcd_link_pair(pair), 0);
	t.raw = pair[1];
	t.link = (struct rpcd_link){ .loop = &t.loop, .word = on_word, .gone = on_gone };
	assert_int_equal(rpcd_link_open(&t.link, pair[0]), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	rpcd_link_close(&t.link);
	gb_close_fd(&t.raw);
	gb_loop_close(&t.loop);
	return unit_descriptors() == t.before ? 0 : -1;
}

static void fill(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct rpcd_word word = { .kind = RPCD_DIALLED, .id = i };
		assert_int_equal(rpcd_link_send(&t.link, &word, i % EACH == 0 ? eventfd(i, EFD_CLOEXEC | EFD_NONBLOCK) : -1), 0);
	}
}

static void a_full_link_keeps_words_and_descriptors_in_order(void **state)
{
	unsigned next = 0;

	(void)state;
	fill(0, MANY);
	assert_false(STAILQ_EMPTY(&t.link.queue)); /* else this tests nothing */
	for (unsigned idle = 0; next < MANY + 10 && idle < 1000; idle++) {
		struct rpcd_word word;
		int fd;
		while (hear(t.raw, &word, &fd)) {
			idle = 0;
			assert_int_equal(word.id, next);
			assert_int_equal(fd >= 0, next % EACH == 0);
			if (fd >= 0) {
				uint64_t value = 0;
				assert_true(next == 0 || read(fd, &value, sizeof value) == sizeof value);
				assert_int_equal(value, next);
				(void)close(fd);
			}
			/* One that comes while others wait is behind them. */
			if (next++ == 0)
				fill(MANY, MANY + 10);
		}
		assert_int_equal(spin(&t.loop), 77);
	}
	assert_int_equal(next, MANY + 10);
	assert_true(STAILQ_EMPTY(&t.link.queue));
}

static void a_polite_end_takes_nothing_while_its_own_words_wait(void **state)
{
	struct rpcd_word word;
	int fd;

	(void)state;
	t.link.polite = true;
	fill(0, MANY);
	for (int i = 0; i < 5; i++)
		tell(t.raw, RPCD_OPEN, 0, -1);
	assert_int_equal(spin(&t.loop), 77);
	assert_int_equal(t.words, 0);
	for (unsigned i = 0; i < 1000 && t.words < 5; i++) {
		while (hear(t.raw, &word, &fd))
			gb_close_fd(&fd);
		assert_int_equal(spin(&t.loop), 77);
	}
	assert_int_equal(t.words, 5);
}

static void what_waits_when_the_link_is_closed_leaves_no_descriptor(void **state)
{
	(void)state;
	fill(0, MANY); /* end() counts */
}

static void the_other_end_is_gone_while_words_wait(void **state)
{
	struct rpcd_word word = { .kind = RPCD_STOP };

	(void)state;
	fill(0, MANY);
	gb_close_fd(&t.raw);
	t.raw = -1;
	for (int i = 0; i < 5; i++)
		assert_int_equal(spin(&t.loop), 77);
	assert_int_equal(t.gone, 1);
	assert_int_equal(rpcd_link_send(&t.link, &word, eventfd(0, EFD_CLOEXEC)), -EPIPE);
}

static void half_a_word_ends_the_link(void **state)
{
	struct rpcd_word word = { .kind = RPCD_STOP };

	(void)state;
	tell(t.raw, RPCD_STOP, 5, t.raw);
	say(t.raw, &word, sizeof word - 1, t.raw);
	tell(t.raw, RPCD_STOP, 6, -1);
	assert_int_equal(spin(&t.loop), 77);
	assert_int_equal(t.words, 1);
	assert_int_equal(t.last.id, 5);
	assert_int_equal(t.gone, 1);
}

static void more_descriptors_than_one_leave_none(void **state)
{
	const struct rpcd_word word = { .kind = RPCD_OPEN };

	(void)state;
	for (int count = 2; count <= 8; count++) /* end() counts */
		unit_send_fds(t.raw, &word, sizeof word, t.raw, count);
	assert_int_equal(spin(&t.loop), 77);
	assert_int_equal(t.words, 7);
	assert_int_equal(t.gone, 0);
}

static void a_text_without_an_end_gets_one(void **state)
{
	struct rpcd_word word = { .kind = RPCD_OPEN };

	(void)state;
	memset(word.text, 'x', sizeof word.text);
	say(t.raw, &word, sizeof word, -1);
	assert_int_equal(spin(&t.loop), 77);
	assert_int_equal(strlen(t.last.text), sizeof word.text - 1);
}

/* ---- either process, and the raw end of its link ---- */

static struct rpcd *rpcd;
static unsigned delivered;

static void on_delivered(struct rpcd *of)
{
	assert_ptr_equal(of, rpcd);
	delivered++;
}

static void process(void (*prepare)(struct rpcd *))
{
	int pair[2];

	t.before = unit_descriptors();
	rpcd = calloc(1, sizeof *rpcd);
	assert_non_null(rpcd);
	TAILQ_INIT(&rpcd->conns);
	rpcd->conns_max = 2;
	rpcd->idle_ms = rpcd->frame_ms = 600000;
	delivered = 0;
	prepare(rpcd);
	assert_int_equal(gb_loop_open(&rpcd->loop), 0);
	assert_int_equal(rpcd_link_pair(pair), 0);
	t.raw = pair[1];
	assert_int_equal(rpcd_link_open(&rpcd->link, pair[0]), 0);
	rpcd->listeners_len = 2;
	for (int i = 0; i < 2; i++) {
		rpcd->listeners[i] = (struct rpcd_listener){ .rpcd = rpcd, .rfd = -1, .wfd = -1, .io.fd = -1 };
		assert_int_equal(gb_addr_parse(i ? "virtio:port" : "unix:/nowhere", &rpcd->listeners[i].addr, NULL), 0);
	}
}

static int helper(void **state)
{
	(void)state;
	process(rpcd_helper_prepare);
	return 0;
}

static int front(void **state)
{
	(void)state;
	process(rpcd_front_prepare);
	return 0;
}

static int done(void **state)
{
	struct gb_conn *conn;

	(void)state;
	while ((conn = TAILQ_FIRST(&rpcd->conns)))
		gb_conn_end(conn);
	rpcd_link_close(&rpcd->link);
	gb_close_fd(&t.raw);
	gb_loop_close(&rpcd->loop);
	free(rpcd);
	return unit_descriptors() == t.before ? 0 : -1;
}

static bool ended(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void the_helper_opens_no_more_channels_than_there_can_be(void **state)
{
	int pairs[6][2];

	(void)state;
	tell(t.raw, RPCD_OPEN, 1, -1); /* its descriptor got lost */
	assert_int_equal(spin(&rpcd->loop), 77);
	assert_int_equal(rpcd->conns_len, 0);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]), 0);
		tell(t.raw, RPCD_OPEN, 10 + (uint32_t)i, pairs[i][1]);
		(void)close(pairs[i][1]);
	}
	assert_int_equal(spin(&rpcd->loop), 77);
	assert_int_equal(rpcd->conns_len, 2 * rpcd->conns_max);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(ended(pairs[i][0]), i >= 4);
		(void)close(pairs[i][0]);
	}
	assert_int_equal(spin(&rpcd->loop), 77);
	assert_int_equal(rpcd->conns_len, 0);
}

static void the_helper_dials_for_proxies_alone(void **state)
{
	struct rpcd_word word;
	int fd;

	(void)state;
	static const uint32_t ids[] = { 0, 2, RPCD_LISTEN_MAX, UINT32_MAX };
	for (size_t i = 0; i < GB_ARRAY_LEN(ids); i++)
		tell(t.raw, RPCD_DIAL, ids[i], -1);
	assert_int_equal(spin(&rpcd->loop), 77);
	for (size_t i = 0; i < GB_ARRAY_LEN(ids); i++) {
		assert_true(hear(t.raw, &word, &fd));
		assert_int_equal(word.kind, RPCD_DIALLED);
		assert_int_equal(word.id, ids[i]);
		assert_int_equal(word.code, EINVAL);
		assert_int_equal(fd, -1);
	}
}

static void the_helper_opens_ports_anew_and_nothing_else(void **state)
{
	(void)state;
	tell(t.raw, RPCD_REOPEN, 0, -1);
	tell(t.raw, RPCD_REOPEN, 2, -1);
	tell(t.raw, RPCD_REOPEN, UINT32_MAX, -1);
	assert_int_equal(spin(&rpcd->loop), 77);
	assert_null(rpcd->listeners[0].timer.loop);
	assert_null(rpcd->listeners[1].timer.loop);
	tell(t.raw, RPCD_REOPEN, 1, -1);
	assert_int_equal(spin(&rpcd->loop), 77);
	assert_ptr_equal(rpcd->listeners[1].timer.loop, &rpcd->loop);
	gb_loop_timer_stop(&rpcd->listeners[1].timer);
}

static void words_that_no_front_says(void **state)
{
	(void)state;
	tell(t.raw, RPCD_STOP, 0, t.raw);
	tell(t.raw, 12345, 0, t.raw);
	tell(t.raw, RPCD_DELIVERED, 1, t.raw); /* nobody waits for that */
	assert_int_equal(spin(&rpcd->loop), 77);
	assert_false(rpcd->stopping);
	assert_int_equal(delivered, 0);
}

/* The power-off waits for it: it must come once, whatever the front says. */
static void a_delivery_is_believed_of_that_client_and_once(void **state)
{
	struct rpcd_word word;
	int pair[2], fd;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	tell(t.raw, RPCD_OPEN, 9, pair[1]);
	(void)close(pair[1]);
	assert_int_equal(spin(&rpcd->loop), 77);
	struct gb_conn *conn = TAILQ_FIRST(&rpcd->conns);
	assert_non_null(conn);
	gb_conn_error(conn, NULL, 0, 1, "a reply");
	rpcd_when_delivered(conn, on_delivered);
	gb_conn_turn(conn);
	/* Two rounds: what the same peer had sent with it is answered before the second. */
	for (int round = 0; round < 2; round++) {
		assert_int_equal(spin(&rpcd->loop), 77);
		assert_true(hear(t.raw, &word, &fd));
		assert_int_equal(word.kind, RPCD_DELIVER);
		assert_int_equal(word.id, 9);
		assert_int_equal(delivered, 0);
		tell(t.raw, RPCD_DELIVERED, 8, -1);
		assert_int_equal(spin(&rpcd->loop), 77);
		assert_int_equal(delivered, 0);
		assert_false(hear(t.raw, &word, &fd));
		tell(t.raw, RPCD_DELIVERED, 9, -1);
	}
	tell(t.raw, RPCD_DELIVERED, 9, -1);
	assert_int_equal(spin(&rpcd->loop), 77);
	assert_int_equal(delivered, 1);
	(void)close(pair[0]);
}

static void a_peer_that_leaves_has_had_its_reply(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	tell(t.raw, RPCD_OPEN, 9, pair[1]);
	(void)close(pair[1]);
	assert_int_equal(spin(&rpcd->loop), 77);
	struct gb_conn *conn = TAILQ_FIRST(&rpcd->conns);
	gb_conn_error(conn, NULL, 0, 1, "a reply");
	rpcd_when_delivered(conn, on_delivered);
	(void)close(pair[0]);
	assert_int_equal(spin(&rpcd->loop), 77);
	assert_int_equal(delivered, 1);
	assert_int_equal(rpcd->conns_len, 0);
}

static void a_front_without_its_listener_ends(void **state)
{
	(void)state;
	tell(t.raw, RPCD_LISTEN, 0, -1);
	assert_int_equal(spin(&rpcd->loop), 1);
}

static void a_front_without_its_helper_ends(void **state)
{
	(void)state;
	gb_close_fd(&t.raw);
	t.raw = -1;
	assert_int_equal(spin(&rpcd->loop), 1);
}

static void answers_that_the_front_did_not_ask_for(void **state)
{
	struct rpcd_word word;
	int fd;

	(void)state;
	tell(t.raw, RPCD_DIALLED, 0, t.raw); /* its session is gone: so is the descriptor */
	tell(t.raw, RPCD_DELIVER, 5, -1);    /* that client is gone: it has what it will ever get */
	assert_int_equal(spin(&rpcd->loop), 77);
	assert_true(hear(t.raw, &word, &fd));
	assert_int_equal(word.kind, RPCD_DELIVERED);
	assert_int_equal(word.id, 5);
	assert_false(hear(t.raw, &word, &fd));
}

int main(void)
{
	const struct CMUnitTest rpcd_tests[] = {
		cmocka_unit_test_setup_teardown(a_full_link_keeps_words_and_descriptors_in_order, begin, end),
		cmocka_unit_test_setup_teardown(a_polite_end_takes_nothing_while_its_own_words_wait, begin, end),
		cmocka_unit_test_setup_teardown(what_waits_when_the_link_is_closed_leaves_no_descriptor, begin, end),
		cmocka_unit_test_setup_teardown(the_other_end_is_gone_while_words_wait, begin, end),
		cmocka_unit_test_setup_teardown(half_a_word_ends_the_link, begin, end),
		cmocka_unit_test_setup_teardown(more_descriptors_than_one_leave_none, begin, end),
		cmocka_unit_test_setup_teardown(a_text_without_an_end_gets_one, begin, end),
		cmocka_unit_test_setup_teardown(the_helper_opens_no_more_channels_than_there_can_be, helper, done),
		cmocka_unit_test_setup_teardown(the_helper_dials_for_proxies_alone, helper, done),
		cmocka_unit_test_setup_teardown(the_helper_opens_ports_anew_and_nothing_else, helper, done),
		cmocka_unit_test_setup_teardown(words_that_no_front_says, helper, done),
		cmocka_unit_test_setup_teardown(a_delivery_is_believed_of_that_client_and_once, helper, done),
		cmocka_unit_test_setup_teardown(a_peer_that_leaves_has_had_its_reply, helper, done),
		cmocka_unit_test_setup_teardown(a_front_without_its_listener_ends, front, done),
		cmocka_unit_test_setup_teardown(a_front_without_its_helper_ends, front, done),
		cmocka_unit_test_setup_teardown(answers_that_the_front_did_not_ask_for, front, done),
	};

	return cmocka_run_group_tests_name("rpcd", rpcd_tests, NULL, NULL);
}
