/* SPDX-License-Identifier: MIT */
/* common/proxy: an oracle. Random schedules of writes, reads, stalls, half-closes and closes at both ends of a relay; what
 * comes out must be what went in, each byte once, then the end of the stream, and nothing may be left hanging. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/proxy/relay.h"

/* GB_SEED repeats a run, GB_SCHEDULES makes it longer (make torture). */
enum { SCHEDULES = 120000, TCP_SCHEDULES = 1000, SLOTS = 6, TABLE = 65521, PIECE = 200000, PATIENCE = 64, TCP_HANG_S = 40 };

/* The player's end of one socket. */
struct side {
	int fd; /* -1: closed */
	bool wr_end, rd_end, ended; /* said it writes no more; reads no more; has seen the end */
	uint64_t wrote, got, hash_wrote, hash_got;
	uint32_t start; /* where in the table its bytes begin */
};

struct slot {
	struct gb_relay relay;
	struct side side[2];
	bool live, over, tcp;
	unsigned steps, quiet;
	uint64_t schedule, moved;
	time_t began;
};

static struct gb_loop loop;
static struct gb_relays relays;
static struct slot slots[SLOTS];
static unsigned char table[TABLE + PIECE], got[PIECE];
static uint64_t seed, rnd, next_schedule, last_schedule, finished, totals[8];
static bool tcp_run;
static int listener = -1;

static uint64_t draw(void)
{
	rnd ^= rnd << 13; /* xorshift64 */
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd;
}

static uint32_t below(uint32_t n)
{
	return (uint32_t)((draw() >> 11) % n);
}

static uint64_t hashed(uint64_t hash, const unsigned char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ data[i]) * 0x100000001b3; /* FNV-1a */
	return hash;
}

#define CHECK(slot, ok, ...) \
	do { \
		if (!(ok)) { \
			print_error("GB_SEED=%" PRIu64 " schedule %" PRIu64 ": ", seed, (slot)->schedule); \
			print_error(__VA_ARGS__); \
			fail(); \
		} \
	} while (0)

static void on_over(struct gb_relay *relay, int error)
{
	struct slot *slot = (struct slot *)((char *)relay - offsetof(struct slot, relay));

	(void)error;
	CHECK(slot, slot->live && !slot->over, "the relay ended twice\n");
	slot->over = true;
}

/* X's writes may fail, and X may see the end early or as a reset, only when the other side reads no more or is gone, or X
 * itself has stopped reading (then the first byte for it ends the session). */
static bool cut(const struct slot *slot, int i)
{
	const struct side *own = &slot->side[i], *other = &slot->side[!i];

	return other->fd < 0 || other->rd_end || own->rd_end;
}

static void put(struct slot *slot, int i)
{
	static const uint32_t sizes[] = { 1, 1, 64, 64, 900, 900, 4096, 5000, 20000, PIECE };
	struct side *side = &slot->side[i];
	size_t len = 1 + below(sizes[below(GB_ARRAY_LEN(sizes))]);
	const unsigned char *data = table + (side->start + side->wrote) % TABLE;
	ssize_t n = send(side->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0) {
		CHECK(slot, errno == EAGAIN || ((errno == EPIPE || errno == ECONNRESET) && cut(slot, i)),
		      "side %d: send: %s\n", i, strerror(errno));
		return;
	}
	side->hash_wrote = hashed(side->hash_wrote, data, (size_t)n);
	side->wrote += (uint64_t)n;
}

static void take(struct slot *slot, int i, size_t len)
{
	struct side *side = &slot->side[i];
	const struct side *other = &slot->side[!i];
	ssize_t n = recv(side->fd, got, len, MSG_DONTWAIT);

	if (n > 0) {
		CHECK(slot, !side->ended, "side %d: bytes after the end\n", i);
		CHECK(slot, side->got + (uint64_t)n <= other->wrote, "side %d: %zd bytes more than were sent\n", i, n);
		CHECK(slot, memcmp(got, table + (other->start + side->got) % TABLE, (size_t)n) == 0,
		      "side %d: wrong bytes from %" PRIu64 " on\n", i, side->got);
		side->hash_got = hashed(side->hash_got, got, (size_t)n);
		side->got += (uint64_t)n;
		slot->quiet = 0;
		return;
	}
	if (n < 0 && errno == EAGAIN)
		return;
	CHECK(slot, n == 0 || (errno == ECONNRESET && cut(slot, i)), "side %d: recv: %s\n", i, strerror(errno));
	if (!side->ended)
		slot->quiet = 0;
	side->ended = true;
	if (side->rd_end)
		return;
	CHECK(slot, other->wr_end || other->fd < 0 || cut(slot, i), "side %d: an end that nobody made\n", i);
	/* A TCP socket that is closed, or shut down both ways, with input still to come drops its own output as well:
	 * that is its owner's doing. */
	if (slot->tcp && (other->fd < 0 || other->rd_end))
		return;
	CHECK(slot, side->got == other->wrote && side->hash_got == other->hash_wrote,
	      "side %d: the end after %" PRIu64 " of %" PRIu64 " bytes\n", i, side->got, other->wrote);
}

static void hang_up(struct side *side)
{
	assert_int_equal(close(side->fd), 0);
	side->fd = -1;
}

static void act(struct slot *slot)
{
	int i = (int)below(2);
	struct side *side = &slot->side[i];

	if (side->fd < 0)
		return;
	switch (below(24)) {
	case 0:
	case 1:
		if (!side->wr_end)
			(void)shutdown(side->fd, SHUT_WR);
		side->wr_end = true;
		break;
	case 2:
		if (below(4) == 0)
			hang_up(side);
		break;
	case 3:
		if (below(6) == 0 && !slot->tcp) { /* TCP does not tell its peer */
			(void)shutdown(side->fd, SHUT_RD);
			side->rd_end = true;
		}
		break;
	case 4:
		/* Not with TCP: close(2) after it can leave the peer probing a zero window that nobody answers (FIN-WAIT-2),
		 * with or without a relay between, until tcp_retries2 has run out: a quarter of an hour. */
		if (below(6) == 0 && !slot->tcp) {
			(void)shutdown(side->fd, SHUT_RDWR);
			side->wr_end = true;
			side->rd_end = true;
		}
		break;
	case 5:
	case 6:
	case 7: break; /* a stall */
	case 8:
	case 9:
	case 10:
	case 11:
	case 12:
	case 13:
	case 14:
	case 15: take(slot, i, 1 + below(below(2) ? PIECE : 3000)); break;
	default:
		if (!side->wr_end)
			put(slot, i);
	}
}

static int pair(int fd[2], bool tcp, int buffer)
{
	if (!tcp) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) < 0)
			return -errno;
	} else {
		struct sockaddr_in in;
		socklen_t len = sizeof in;
		fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd[0] < 0 || getsockname(listener, (struct sockaddr *)&in, &len) < 0 ||
		    connect(fd[0], (struct sockaddr *)&in, len) < 0)
			return -errno;
		fd[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd[1] < 0 || fcntl(fd[0], F_SETFL, O_NONBLOCK) < 0)
			return -errno;
	}
	for (int i = 0; i < 2 && buffer; i++)
		(void)setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
	return 0;
}

static void start(struct slot *slot)
{
	static const int buffers[] = { 0, 0, 1, 8192, 30000 };
	bool tcp = tcp_run && below(4);
	int a[2], b[2];

	memset(slot, 0, sizeof *slot);
	slot->schedule = next_schedule++;
	slot->steps = below(4) ? 1 + below(30) : below(150);
	slot->tcp = tcp_run;
	slot->began = time(NULL);
	assert_int_equal(pair(a, tcp_run && (!tcp || below(2)), buffers[below(5)]), 0);
	assert_int_equal(pair(b, tcp, buffers[below(5)]), 0);
	int ends[2][2] = { { a[0], a[1] }, { b[0], b[1] } };
	for (int i = 0; i < 2; i++) {
		slot->side[i].fd = ends[i][0];
		slot->side[i].start = below(TABLE);
	}
	relays.pipes_max = below(3) ? 64 : below(4); /* so few that others have them */
	slot->live = true;
	/* Something may have come before the relay begins, or all of it. */
	for (unsigned early = below(3) ? 0 : below(6); early; early--)
		act(slot);
	assert_int_equal(gb_relay_start(&relays, &slot->relay, a[1], b[1]), 0);
	slot->relay.flow[0].copy = below(4) == 0;
	slot->relay.flow[1].copy = below(4) == 0;
}

/* The schedule is through: both sides end what they began, and read what is left. */
static void wind_up(struct slot *slot)
{
	bool all = slot->over;
	uint64_t moved = slot->relay.flow[0].bytes + slot->relay.flow[1].bytes;

	for (int i = 0; i < 2; i++) {
		struct side *side = &slot->side[i];
		if (side->fd >= 0 && !side->wr_end) {
			if (below(5) == 0) {
				hang_up(side);
			} else {
				(void)shutdown(side->fd, SHUT_WR);
				side->wr_end = true;
			}
		}
		if (side->fd >= 0 && !side->ended)
			take(slot, i, PIECE);
		all &= side->fd < 0 || side->ended;
	}
	if (all) {
		for (int i = 0; i < 2; i++) {
			totals[0] += slot->side[i].wrote;
			totals[1] += slot->side[i].got;
			totals[2] += slot->side[i].fd < 0;
			totals[3] += slot->side[i].wr_end;
			if (slot->side[i].fd >= 0)
				hang_up(&slot->side[i]);
		}
		slot->live = false;
		finished++;
		return;
	}
	if (moved != slot->moved)
		slot->quiet = 0;
	slot->moved = moved;
	/* Unix sockets know no delay: when nothing has moved for so many turns of the loop, nothing ever will. */
	slot->quiet++;
	CHECK(slot, slot->tcp ? time(NULL) - slot->began < TCP_HANG_S : slot->quiet < PATIENCE,
	      "hangs: tcp %d%d over %d lingering %d done %d%d held %zu %zu, "
	      "side 0 fd %d ended %d got %" PRIu64 " of %" PRIu64 ", side 1 fd %d ended %d got %" PRIu64 " of %" PRIu64 "\n",
	      slot->relay.end[0].tcp, slot->relay.end[1].tcp, slot->over, slot->relay.lingering,
	      slot->relay.flow[0].done, slot->relay.flow[1].done,
	      slot->relay.flow[0].held, slot->relay.flow[1].held, slot->side[0].fd, slot->side[0].ended, slot->side[0].got, slot->side[1].wrote,
	      slot->side[1].fd, slot->side[1].ended, slot->side[1].got, slot->side[0].wrote);
}

/* Always ready: a step of every schedule in each turn of the loop, some turns without any. */
static void on_player(struct gb_io *io, uint32_t events)
{
	bool live = false;

	(void)io;
	(void)events;
	for (int i = 0; i < SLOTS; i++) {
		struct slot *slot = &slots[i];
		if (!slot->live && next_schedule < last_schedule)
			start(slot);
		if (!slot->live)
			continue;
		live = true;
		if (slot->steps) {
			slot->steps--;
			for (uint32_t n = below(3); n; n--)
				act(slot);
		} else {
			wind_up(slot);
		}
	}
	if (!live)
		gb_loop_stop(&loop, 0);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void play(uint64_t schedules)
{
	size_t before = unit_descriptors();
	struct gb_io player = { .events = EPOLLIN, .fn = on_player };
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	seed = number("GB_SEED", (uint64_t)now.tv_sec * 1000000007U + (uint64_t)now.tv_nsec);
	rnd = seed * 0x9e3779b97f4a7c15 | 1;
	for (int i = 0; i < 8; i++)
		(void)draw();
	for (size_t i = 0; i < TABLE; i++)
		table[i] = (unsigned char)(draw() >> 32);
	memcpy(table + TABLE, table, TABLE);
	memcpy(table + 2 * TABLE, table, TABLE);
	memcpy(table + 3 * TABLE, table, sizeof table - 3 * TABLE);
	next_schedule = finished = 0;
	last_schedule = schedules;
	memset(totals, 0, sizeof totals);

	assert_int_equal(gb_loop_open(&loop), 0);
	assert_int_equal(gb_relay_open(&relays, &loop, on_over), 0);
	player.fd = eventfd(1, EFD_CLOEXEC);
	assert_true(player.fd >= 0);
	assert_int_equal(gb_loop_add(&loop, &player), 0);
	assert_int_equal(gb_loop_run(&loop), 0);
	gb_loop_del(&player);
	assert_int_equal(close(player.fd), 0);
	gb_relay_close(&relays);
	assert_int_equal(relays.pipes, 0);
	gb_loop_close(&loop);
	assert_int_equal(finished, schedules);
	/* It must have been worth it. */
	assert_true(totals[0] > schedules * 1000 && totals[1] > schedules * 1000);
	assert_true(totals[2] > schedules / 20 && totals[3] > schedules);
	assert_int_equal(unit_descriptors(), before);
	print_message("# %" PRIu64 " schedules, %" PRIu64 " bytes sent, %" PRIu64 " received, %" PRIu64 " closes, %" PRIu64
		      " half-closes, seed %" PRIu64 "\n", finished, totals[0], totals[1], totals[2], totals[3], seed);
}

static void no_byte_lost_or_doubled_in_any_order_of_closes(void **state)
{
	(void)state;
	tcp_run = false;
	play(number("GB_SCHEDULES", SCHEDULES));
}

static void the_same_over_tcp(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	(void)state;
	tcp_run = true;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(listen(listener, 16), 0);
	play(number("GB_SCHEDULES", SCHEDULES) / (SCHEDULES / TCP_SCHEDULES));
	assert_int_equal(close(listener), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_byte_lost_or_doubled_in_any_order_of_closes),
		cmocka_unit_test(the_same_over_tcp),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
