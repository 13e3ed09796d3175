/* SPDX-License-Identifier: MIT */
/* Relays: the data path. */
#include "common/proxy/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TURN = 1024 * 1024, /* bytes that a direction moves before others get their turn */
	IDLE_PIPES = 8,     /* kept for the next ones */
	/* What a TCP peer has to take the last bytes after the other end is gone, looked at in steps: 10 s. */
	LINGER_MS = 100, LINGER_STEPS = 100,
};

/* ---- pipes ---- */

static void close_pipe(struct gb_relays *host, struct gb_relay_pipe *pipe)
{
	(void)close(pipe->fd[0]);
	(void)close(pipe->fd[1]);
	free(pipe);
	host->pipes--;
}

/* NULL: there are enough of them, or the kernel gives no more. */
static struct gb_relay_pipe *take_pipe(struct gb_relays *host)
{
	struct gb_relay_pipe *pipe = SLIST_FIRST(&host->idle);

	if (pipe) {
		SLIST_REMOVE_HEAD(&host->idle, link);
		return pipe;
	}
	if (host->pipes >= host->pipes_max)
		return NULL;
	pipe = malloc(sizeof *pipe);
	if (!pipe)
		return NULL;
	if (pipe2(pipe->fd, O_CLOEXEC | O_NONBLOCK) < 0) {
		free(pipe);
		return NULL;
	}
	(void)fcntl(pipe->fd[1], F_SETPIPE_SZ, GB_RELAY_PIPE); /* EPERM: beyond the user's limit; then it is smaller */
	host->pipes++;
	return pipe;
}

/* A direction gives its pipe back, or up if there are bytes in it that nobody will take. */
static void drop_pipe(struct gb_relays *host, struct gb_flow *flow)
{
	struct gb_relay_pipe *pipe = flow->pipe;
	unsigned idle = 0;
	struct gb_relay_pipe *other;

	if (!pipe)
		return;
	flow->pipe = NULL;
	SLIST_FOREACH(other, &host->idle, link)
		idle++;
	if (flow->held || idle >= IDLE_PIPES) {
		flow->held = 0;
		close_pipe(host, pipe);
		return;
	}
	SLIST_INSERT_HEAD(&host->idle, pipe, link);
}

/* ---- the directions ---- */

/* A turn is over and there may be more: the loop comes back to it after the others. */
static void heat(struct gb_relay *relay)
{
	if (relay->hot)
		return;
	relay->hot = true;
	TAILQ_INSERT_TAIL(&relay->host->hot, relay, link);
	(void)gb_loop_mod(&relay->host->again, EPOLLIN);
}

static void cool(struct gb_relay *relay)
{
	if (!relay->hot)
		return;
	relay->hot = false;
	TAILQ_REMOVE(&relay->host->hot, relay, link);
	if (TAILQ_EMPTY(&relay->host->hot))
		(void)gb_loop_mod(&relay->host->again, 0);
}

/* The target of flow[i] takes no more, ever. Its source is told, as far as its kind can (its writes fail from now on),
 * and what the target itself has sent before is still delivered. */
static void broken(struct gb_relay *relay, int i, int error)
{
	struct gb_flow *flow = &relay->flow[i];

	if (flow->done)
		return;
	drop_pipe(relay->host, flow);
	flow->done = true;
	if (!relay->end[i].tcp) /* TCP has no way to say it, and SHUT_RD would hide the rest of its input from sunk() */
		(void)shutdown(relay->end[i].io.fd, SHUT_RD); /* ENOTCONN: it is gone as well */
	if (!relay->error)
		relay->error = error;
	/* Bytes may have come since the last EAGAIN, their event still in this turn's batch. */
	relay->end[!i].readable = true;
	relay->draining = relay->rerun = true;
}

/* The source failed. Every byte that it gave has been delivered: a direction reads only when nothing is held. */
static void failed(struct gb_relay *relay, int i, int error)
{
	if (!relay->error)
		relay->error = error;
	for (int k = 0; k < 2; k++) {
		drop_pipe(relay->host, &relay->flow[k]);
		relay->flow[k].done = true;
	}
	/* A reset is passed on where that loses nothing: else a stream that was cut looks like one that ended. */
	struct gb_relay_end *other = &relay->end[!i];
	int queued = 0;
	struct linger now = { .l_onoff = 1 };
	if (other->tcp && ioctl(other->io.fd, SIOCOUTQ, &queued) == 0 && queued == 0)
		(void)setsockopt(other->io.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* All that came is delivered, and no more will come. */
static void finish(struct gb_relay *relay, int i)
{
	drop_pipe(relay->host, &relay->flow[i]);
	relay->flow[i].done = true;
	(void)shutdown(relay->end[!i].io.fd, SHUT_WR); /* ENOTCONN: nobody is there to be told */
}

/* Nothing to read for now; false: and that was all, because the source's other half is broken. */
static bool dry(struct gb_relay *relay, int i)
{
	relay->end[i].readable = false;
	drop_pipe(relay->host, &relay->flow[i]);
	if (!relay->draining)
		return true;
	relay->flow[i].done = true;
	return false;
}

/* One step without a pipe: bytes are shown to the target, and what it took is taken from the source. The count, 0 at
 * the end, -EAGAIN when either cannot, or -errno with *ret_source telling whose it is. */
static ssize_t copy(struct gb_relay *relay, int i, bool *ret_source)
{
	unsigned char *scratch = relay->host->scratch;
	int from = relay->end[i].io.fd, to = relay->end[!i].io.fd;

	*ret_source = true;
	ssize_t n = recv(from, scratch, GB_RELAY_SCRATCH, MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	*ret_source = false;
	n = send(to, scratch, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	*ret_source = true;
	for (ssize_t left = n; left > 0;) {
		ssize_t got = recv(from, scratch, (size_t)left, MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) /* they were there a moment ago, and nobody else reads here */
			return got < 0 && errno != EAGAIN ? -errno : -EIO;
		left -= got;
	}
	return n;
}

/* From the pipe to where it goes: how many bytes went. */
static size_t pour(struct gb_relay *relay, int i)
{
	struct gb_flow *flow = &relay->flow[i];
	struct gb_relay_end *to = &relay->end[!i];
	ssize_t n = splice(flow->pipe->fd[0], NULL, to->io.fd, NULL, flow->held, SPLICE_F_NONBLOCK);

	if (n > 0) {
		flow->held -= (size_t)n;
		flow->bytes += (uint64_t)n;
		return (size_t)n;
	}
	if (n == 0 || errno == EAGAIN)
		to->writable = false;
	else if (errno != EINTR)
		broken(relay, i, errno);
	return 0;
}

/* From the source into the pipe. False: it has nothing now. */
static bool draw(struct gb_relay *relay, int i)
{
	struct gb_flow *flow = &relay->flow[i];
	ssize_t n = splice(relay->end[i].io.fd, NULL, flow->pipe->fd[1], NULL, GB_RELAY_PIPE, SPLICE_F_NONBLOCK);

	if (n > 0) {
		flow->held = (size_t)n;
	} else if (n == 0) {
		flow->eof = true;
	} else if (errno == EAGAIN) {
		return false;
	} else if (errno == EINVAL) {
		flow->copy = true;
		drop_pipe(relay->host, flow);
	} else if (errno != EINTR) {
		failed(relay, i, errno);
	}
	return true;
}

/* Both at once, through memory; moved: how many bytes went. False as above. */
static bool carry(struct gb_relay *relay, int i, size_t *moved)
{
	struct gb_flow *flow = &relay->flow[i];
	bool source = false;
	ssize_t n = copy(relay, i, &source);

	if (n > 0) {
		flow->bytes += (uint64_t)n;
		*moved += (size_t)n;
	} else if (n == 0) {
		flow->eof = true;
	} else if (n == -EAGAIN && source) {
		return false;
	} else if (n == -EAGAIN) {
		relay->end[!i].writable = false;
	} else if (n != -EINTR && source) {
		failed(relay, i, (int)-n);
	} else if (n != -EINTR) {
		broken(relay, i, (int)-n);
	}
	return true;
}

static void pump(struct gb_relay *relay, int i)
{
	struct gb_relays *host = relay->host;
	struct gb_flow *flow = &relay->flow[i];
	const struct gb_relay_end *from = &relay->end[i], *to = &relay->end[!i];
	size_t moved = 0;

	while (!flow->done) {
		if (flow->held) {
			if (!to->writable)
				return;
			moved += pour(relay, i);
			continue;
		}
		if (flow->eof) {
			finish(relay, i);
			return;
		}
		if (!from->readable) {
			(void)dry(relay, i);
			return;
		}
		if (!to->writable) { /* what cannot go on stays where it is: with the source */
			drop_pipe(host, flow);
			return;
		}
		if (moved >= TURN) {
			drop_pipe(host, flow);
			heat(relay);
			return;
		}
		if (!flow->copy && !flow->pipe)
			flow->pipe = take_pipe(host);
		if (!(flow->pipe ? draw(relay, i) : carry(relay, i, &moved))) {
			(void)dry(relay, i);
			return;
		}
	}
}

static void over(struct gb_relay *relay)
{
	struct gb_relays *host = relay->host;

	gb_loop_timer_stop(&relay->linger);
	cool(relay);
	for (int i = 0; i < 2; i++) {
		drop_pipe(host, &relay->flow[i]);
		gb_loop_del(&relay->end[i].io);
		if (relay->end[i].io.fd >= 0)
			(void)close(relay->end[i].io.fd);
		relay->end[i].io.fd = -1;
	}
	host->ended(relay, relay->error);
}

/* close(2) of a TCP socket with unread input resets it, and drops what its peer has not taken yet (tcp(7), RFC 2525):
 * such a socket is closed when its peer has everything, is gone, or has had its time. */
static bool lingers(struct gb_relay *relay)
{
	for (int i = 0; i < 2; i++) {
		struct gb_relay_end *end = &relay->end[i];
		int queued = 0;
		if (!end->tcp || relay->flow[i].eof || ioctl(end->io.fd, SIOCOUTQ, &queued) < 0 || queued == 0)
			continue;
		if (shutdown(end->io.fd, SHUT_WR) < 0)
			continue;
		relay->lingering = i;
		gb_loop_del(&relay->end[!i].io);
		(void)close(relay->end[!i].io.fd);
		relay->end[!i].io.fd = -1;
		cool(relay);
		gb_loop_timer(relay->host->loop, &relay->linger, LINGER_MS);
		return true;
	}
	return false;
}

/* Input that nobody wants is taken, so that its sender is not stopped from reading; true: the end of it. */
static bool sunk(struct gb_relay *relay)
{
	int fd = relay->end[relay->lingering].io.fd, queued = 0;

	for (int i = 0; i < 64; i++) {
		ssize_t n = recv(fd, relay->host->scratch, GB_RELAY_SCRATCH, MSG_DONTWAIT | MSG_TRUNC);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return true;
		if (n < 0 && errno == EAGAIN)
			return ioctl(fd, SIOCOUTQ, &queued) < 0 || queued == 0;
	}
	heat(relay);
	return false;
}

static void run(struct gb_relay *relay)
{
	if (relay->lingering >= 0) {
		if (sunk(relay))
			over(relay);
		return;
	}
	do {
		relay->rerun = false;
		pump(relay, 0);
		pump(relay, 1);
	} while (relay->rerun);
	if (relay->flow[0].done && relay->flow[1].done && !lingers(relay))
		over(relay);
}

/* No event tells that the peer has taken everything. */
static void on_linger(struct gb_timer *timer)
{
	struct gb_relay *relay = (struct gb_relay *)((char *)timer - offsetof(struct gb_relay, linger));

	if (++relay->lingered >= LINGER_STEPS || sunk(relay))
		over(relay);
	else
		gb_loop_timer(relay->host->loop, timer, LINGER_MS);
}

static void on_end(struct gb_io *io, uint32_t events)
{
	struct gb_relay_end *end = (struct gb_relay_end *)((char *)io - offsetof(struct gb_relay_end, io));
	struct gb_relay *relay = end->relay;
	int i = end != &relay->end[0];

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		end->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		end->writable = true;
	/* Both halves of it have ended: what goes there can arrive no more, unless it has ended already. Without this a
	 * quiet session would outlive its client. */
	if ((events & EPOLLHUP) && relay->lingering < 0)
		broken(relay, !i, EPIPE);
	run(relay);
}

/* One turn for each relay that is hot now; those that stay so come to the end of the list. */
static void on_again(struct gb_io *io, uint32_t events)
{
	struct gb_relays *host = (struct gb_relays *)((char *)io - offsetof(struct gb_relays, again));
	struct gb_relay *relay;
	size_t n = 0;

	(void)events;
	TAILQ_FOREACH(relay, &host->hot, link)
		n++;
	while (n-- && (relay = TAILQ_FIRST(&host->hot))) {
		cool(relay);
		run(relay);
	}
}

int gb_relay_open(struct gb_relays *host, struct gb_loop *loop, void (*ended)(struct gb_relay *relay, int error))
{
	*host = (struct gb_relays){ .loop = loop, .ended = ended, .pipes_max = GB_RELAY_PIPES };
	SLIST_INIT(&host->idle);
	TAILQ_INIT(&host->hot);
	/* Never read: it is ready for as long as it is asked about. */
	host->again = (struct gb_io){ .fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), .fn = on_again };
	if (host->again.fd < 0)
		return -errno;
	int r = gb_loop_add(loop, &host->again);
	if (r < 0) {
		(void)close(host->again.fd);
		host->again.fd = -1;
	}
	return r;
}

void gb_relay_close(struct gb_relays *host)
{
	struct gb_relay_pipe *pipe;

	while ((pipe = SLIST_FIRST(&host->idle))) {
		SLIST_REMOVE_HEAD(&host->idle, link);
		close_pipe(host, pipe);
	}
	gb_loop_del(&host->again);
	if (host->again.fd >= 0)
		(void)close(host->again.fd);
	host->again.fd = -1;
}

int gb_relay_start(struct gb_relays *host, struct gb_relay *relay, int a, int b)
{
	int r = 0, one = 1;

	*relay = (struct gb_relay){ .host = host, .lingering = -1, .linger.fn = on_linger };
	for (int i = 0; i < 2; i++) {
		struct gb_relay_end *end = &relay->end[i];
		int protocol = 0;
		socklen_t size = sizeof protocol;
		*end = (struct gb_relay_end){ .relay = relay, .readable = true, .writable = true };
		end->io = (struct gb_io){ .fd = i ? b : a, .fn = on_end, .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
		/* Bytes go on as they come; what may be held together was held together by who sent them. */
		end->tcp = getsockopt(end->io.fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 && protocol == IPPROTO_TCP;
		if (end->tcp)
			(void)setsockopt(end->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	for (int i = 0; i < 2 && r == 0; i++)
		r = gb_loop_add(host->loop, &relay->end[i].io);
	if (r < 0) {
		for (int i = 0; i < 2; i++) {
			gb_loop_del(&relay->end[i].io);
			(void)close(relay->end[i].io.fd);
		}
	}
	return r;
}

void gb_relay_stop(struct gb_relay *relay, int error)
{
	if (!relay->error)
		relay->error = error;
	over(relay);
}
