/* SPDX-License-Identifier: MIT */
/* Device events. */
#include "common/sys/uevent.h"

#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mono.h"
#include "common/sys/nl.h"

struct gb_uevents {
	struct nl_sock *sock;
};

/* Multicast groups of NETLINK_KOBJECT_UEVENT: 1 is the kernel's, 2 is udev's. */
enum { GROUPS = 1 | 2 };

int gb_uevent_open(struct gb_uevents **ret_events, struct gb_err *err)
{
	struct gb_uevents *e = calloc(1, sizeof *e);
	int r;

	if (!e)
		return gb_err_sys(err, ENOMEM, "device events");
	e->sock = nl_socket_alloc();
	if (!e->sock) {
		free(e);
		return gb_err_sys(err, ENOMEM, "device events");
	}
	nl_socket_disable_seq_check(e->sock);
	nl_join_groups(e->sock, GROUPS);
	errno = 0;
	r = nl_connect(e->sock, NETLINK_KOBJECT_UEVENT); /* close-on-exec by itself */
	if (r < 0) {
		int saved = errno ? errno : EIO;

		(void)gb_err_set(err, saved, "device events: %s", nl_geterror(r));
		gb_uevent_close(&e);
		return -saved;
	}
	(void)nl_socket_set_nonblocking(e->sock);
	/* Hundreds of devices may come at once; what is lost anyway is told as ENOBUFS. */
	(void)nl_socket_set_buffer_size(e->sock, 1 << 20, 0);
	*ret_events = e;
	return 0;
}

void gb_uevent_close(struct gb_uevents **events)
{
	if (*events) {
		int saved = errno;
		nl_socket_free((*events)->sock);
		free(*events);
		*events = NULL;
		errno = saved;
	}
}

/* Whether SUBSYSTEM=block stands among the strings behind the header: the kernel's is "ACTION@PATH", udev's is "libudev"
 * and some binary words. */
static bool about_block(const char *text, size_t len)
{
	static const char want[] = "SUBSYSTEM=block";

	return memmem(text, len, want, sizeof want) != NULL; /* its NUL included */
}

int gb_uevent_wait(struct gb_uevents *events, uint64_t ms)
{
	uint64_t end = gb_mono_ms() + ms;

	for (;;) {
		uint64_t now = gb_mono_ms();
		struct pollfd p = { .fd = nl_socket_get_fd(events->sock), .events = POLLIN };
		uint64_t left = now < end ? end - now : 0;
		int r = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);

		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0 && left == 0)
			return 0;
		if (r <= 0)
			continue;
		struct sockaddr_nl from;
		unsigned char *text = NULL;
		errno = 0;
		int n = nl_recv(events->sock, &from, &text, NULL);
		bool hit = n > 0 && about_block((char *)text, (size_t)n);
		if (n > 0)
			free(text);
		if (hit || (n < 0 && (n == -NLE_NOMEM || errno == ENOBUFS)))
			return 1;
		if (n < 0 && n != -NLE_AGAIN && n != -NLE_INTR)
			return errno ? -errno : -EIO;
	}
}
