/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: words between its two processes, over a pair of SOCK_SEQPACKET sockets. */
#include "applets/vsock-rpcd/link.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/cleanup.h"

enum { TURN = 32 }; /* words taken at once, before others get their turn */

struct rpcd_queued {
	struct rpcd_word word;
	int fd;
	STAILQ_ENTRY(rpcd_queued) link;
};

/* Room for one descriptor, aligned as cmsg(3) wants it. */
union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/* 0 or -errno. */
static int put(struct rpcd_link *link, const struct rpcd_word *word, int fd)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)word, .iov_len = sizeof *word };
	union control control = { 0 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof control.bytes;
		struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(head), &fd, sizeof fd);
	}
	do
		n = sendmsg(link->io.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* The word and its descriptor: 1; 0 at the end, or -errno. */
static int get(struct rpcd_link *link, struct rpcd_word *word, int *fd)
{
	struct iovec part = { .iov_base = word, .iov_len = sizeof *word };
	union control control = { 0 };
	/* CMSG_SPACE() has room for two: of more than one the kernel then gives us none but the first. */
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof *fd) };

	ssize_t n = recvmsg(link->io.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	*fd = -1;
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof *fd))
		memcpy(fd, CMSG_DATA(head), sizeof *fd);
	word->text[sizeof word->text - 1] = '\0';
	if ((size_t)n == sizeof *word)
		return 1;
	if (*fd >= 0)
		(void)close(*fd);
	return -EPROTO;
}

static void watch(struct rpcd_link *link)
{
	bool waiting = !STAILQ_EMPTY(&link->queue);

	(void)gb_loop_mod(&link->io, (waiting ? EPOLLOUT : 0) | (waiting && link->polite ? 0 : EPOLLIN));
}

/* Sends what waits, as far as there is room. */
static void flush(struct rpcd_link *link)
{
	struct rpcd_queued *first;

	while ((first = STAILQ_FIRST(&link->queue))) {
		int r = put(link, &first->word, first->fd);
		if (r == -EAGAIN)
			break;
		/* Any other failure loses this word and its descriptor; the other end sees it closed. */
		STAILQ_REMOVE_HEAD(&link->queue, link);
		gb_close_fd(&first->fd);
		free(first);
	}
	watch(link);
}

static void on_io(struct gb_io *io, uint32_t events)
{
	struct rpcd_link *link = (struct rpcd_link *)((char *)io - offsetof(struct rpcd_link, io));

	if (events & EPOLLOUT)
		flush(link);
	for (int i = 0; i < TURN && io->loop && (!link->polite || STAILQ_EMPTY(&link->queue)); i++) {
		struct rpcd_word word;
		int fd, r = get(link, &word, &fd);
		if (r == -EAGAIN)
			return;
		if (r == -EINTR)
			continue;
		if (r <= 0) {
			gb_loop_del(io);
			link->gone(link);
			return;
		}
		link->word(link, &word, fd);
	}
}

int rpcd_link_pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ? -errno : 0;
}

int rpcd_link_open(struct rpcd_link *link, int fd)
{
	STAILQ_INIT(&link->queue);
	link->io = (struct gb_io){ .fd = fd, .events = EPOLLIN, .fn = on_io };
	return gb_loop_add(link->loop, &link->io);
}

void rpcd_link_close(struct rpcd_link *link)
{
	struct rpcd_queued *first;

	while ((first = STAILQ_FIRST(&link->queue))) {
		STAILQ_REMOVE_HEAD(&link->queue, link);
		gb_close_fd(&first->fd);
		free(first);
	}
	gb_loop_del(&link->io);
	gb_close_fd(&link->io.fd);
	link->io.fd = -1;
}

int rpcd_link_send(struct rpcd_link *link, const struct rpcd_word *word, int given)
{
	gb_autoclose int fd = given;

	if (!link->io.loop)
		return -EPIPE;
	int r = STAILQ_EMPTY(&link->queue) ? put(link, word, fd) : -EAGAIN;
	if (r != -EAGAIN)
		return r;
	struct rpcd_queued *queued = malloc(sizeof *queued);
	if (!queued)
		return -ENOMEM;
	queued->word = *word;
	queued->fd = gb_take_fd(&fd);
	STAILQ_INSERT_TAIL(&link->queue, queued, link);
	watch(link);
	return 0;
}
