/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: byte proxies, from an address that the host can reach to one inside the guest. */
#include <bsd/string.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "applets/vsock-rpcd/services.h"
#include "common/base/cleanup.h"
#include "common/base/log.h"
#include "common/base/parse.h"
#include "common/net/vsock.h"
#include "common/sys/cmdline.h"

#define KUBERNETES "vsock:16443=tcp:127.0.0.1:6443"

enum {
	RETRY_MS = 20, RETRY_MAX_MS = 250, /* the pauses between tries to reach a target, each half as long again */
	DIAL_MS = 3000,                    /* an attempt that is not answered */
};

/* One connection: its caller, waiting for the target until the relay begins. */
struct rpcd_session {
	struct gb_relay relay;
	struct rpcd *rpcd;
	struct rpcd_listener *listener;
	char name[64];
	struct gb_io caller; /* before the relay begins: whether it has gone */
	struct gb_io target; /* ... the attempt that is under way */
	struct gb_timer timer;
	uint64_t deadline, pause;
	bool relaying;
	bool asking; /* the helper is to connect to the target */
	TAILQ_ENTRY(rpcd_session) link, ask;
};

static bool port_of(const char *text, uint32_t *ret)
{
	return text && gb_parse_u32(text, strlen(text), ret) && *ret != 0;
}

/* Environment, then the kernel command line, where the first token with a value counts; a value that is no number falls
 * through to the next source. */
uint32_t rpcd_docker_port(void)
{
	gb_autobuf struct gb_buf line = { 0 };
	char word[256];
	const char *key, *value;
	uint32_t port;
	size_t pos = 0;

	if (port_of(getenv("GUESTBOX_DOCKER_PORT"), &port) || port_of(getenv("ARCBOX_GUEST_DOCKER_VSOCK_PORT"), &port))
		return port;
	if (gb_cmdline_read(&line) == 0) {
		while (gb_cmdline_next(gb_buf_text(&line), &pos, word, sizeof word, &key, &value)) {
			if (!value || !*value ||
			    (strcmp(key, "arcbox.guest_docker_vsock_port") != 0 && strcmp(key, "guestbox.docker_port") != 0))
				continue;
			if (port_of(value, &port))
				return port;
			break;
		}
	}
	return 2375;
}

static void free_session(struct rpcd_session *session)
{
	struct rpcd *rpcd = session->rpcd;

	gb_loop_timer_stop(&session->timer);
	if (session->asking)
		TAILQ_REMOVE(&rpcd->asking, session, ask);
	TAILQ_REMOVE(&rpcd->sessions, session, link);
	rpcd->sessions_len--;
	free(session);
}

static void drop_target(struct rpcd_session *session)
{
	gb_loop_del(&session->target);
	if (session->target.fd >= 0)
		(void)close(session->target.fd);
	session->target.fd = -1;
}

/* Ends one that has not got to its relay: not a byte was said. */
static void give_up(struct rpcd_session *session)
{
	drop_target(session);
	gb_loop_del(&session->caller);
	(void)close(session->caller.fd);
	free_session(session);
}

static void on_ended(struct gb_relay *relay, int error)
{
	struct rpcd_session *session = (struct rpcd_session *)((char *)relay - offsetof(struct rpcd_session, relay));

	gb_log(GB_LOG_DEBUG, "%s: %s: over: %llu bytes in, %llu out%s%s", session->listener->name, session->name,
	       (unsigned long long)relay->flow[0].bytes, (unsigned long long)relay->flow[1].bytes, error ? ": " : "",
	       error ? strerror(error) : "");
	free_session(session);
}

static void join(struct rpcd_session *session)
{
	struct rpcd_listener *listener = session->listener;
	int caller = session->caller.fd, target = session->target.fd;

	gb_loop_timer_stop(&session->timer);
	gb_loop_del(&session->caller);
	gb_loop_del(&session->target);
	if (listener->target_told)
		gb_log(GB_LOG_NOTICE, "%s: %s answers again", listener->name, listener->target_name);
	listener->target_told = false;
	session->relaying = true;
	int r = gb_relay_start(&session->rpcd->relays, &session->relay, caller, target);
	if (r < 0) {
		gb_log(GB_LOG_ERR, "%s: %s: epoll: %s", listener->name, session->name, strerror(-r));
		free_session(session);
	}
}

/* A target that is on its way: not there, not listening, too many waiting for it. */
static bool may_come(int code)
{
	return code == ECONNREFUSED || code == ENOENT || code == EAGAIN || code == ETIMEDOUT || code == ECONNRESET ||
	       code == ENODEV || code == EADDRNOTAVAIL;
}

/* The target was not to be had this time. */
static void retry(struct rpcd_session *session, int code)
{
	struct rpcd_listener *listener = session->listener;
	uint64_t now = gb_loop_now(&session->rpcd->loop);

	drop_target(session);
	if (may_come(code) && now < session->deadline) {
		uint64_t left = session->deadline - now;
		if (!session->caller.loop) {
			int r = gb_loop_add(&session->rpcd->loop, &session->caller);
			if (r < 0) {
				gb_log(GB_LOG_ERR, "%s: %s: epoll: %s", listener->name, session->name, strerror(-r));
				give_up(session);
				return;
			}
		}
		gb_loop_timer(&session->rpcd->loop, &session->timer, session->pause < left ? session->pause : left);
		session->pause = session->pause * 3 / 2 > RETRY_MAX_MS ? RETRY_MAX_MS : session->pause * 3 / 2;
		return;
	}
	/* Once, until it answers again: a host may ask many times a second. */
	gb_log(listener->target_told ? GB_LOG_DEBUG : GB_LOG_WARNING, "%s: %s: no target: %s: %s", listener->name,
	       session->name, listener->target_name, strerror(code));
	listener->target_told = true;
	give_up(session);
}

static void on_dialled(struct gb_io *io, uint32_t events)
{
	struct rpcd_session *session = (struct rpcd_session *)((char *)io - offsetof(struct rpcd_session, target));
	int code = 0;
	socklen_t size = sizeof code;

	(void)events;
	if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
		code = errno;
	gb_loop_timer_stop(&session->timer);
	if (code)
		retry(session, code);
	else
		join(session);
}

static void dial(struct rpcd_session *session)
{
	struct rpcd *rpcd = session->rpcd;
	struct rpcd_word word = { .kind = RPCD_DIAL, .id = (uint32_t)(session->listener - rpcd->listeners) };
	int r = rpcd_link_send(&rpcd->link, &word, -1);

	if (r < 0) {
		retry(session, -r);
		return;
	}
	session->asking = true;
	TAILQ_INSERT_TAIL(&rpcd->asking, session, ask);
}

void rpcd_proxy_dialled(struct rpcd *rpcd, int code, int fd)
{
	struct rpcd_session *session = TAILQ_FIRST(&rpcd->asking);

	if (!session) { /* nobody asked */
		gb_close_fd(&fd);
		return;
	}
	TAILQ_REMOVE(&rpcd->asking, session, ask);
	session->asking = false;
	if (fd < 0) {
		retry(session, code ? code : EMFILE); /* it was sent, and there was no room for it here (unix(7)) */
		return;
	}
	session->target = (struct gb_io){ .fd = fd, .events = EPOLLOUT, .fn = on_dialled };
	if (code == 0) {
		join(session);
		return;
	}
	int r = gb_loop_add(&rpcd->loop, &session->target);
	if (r < 0)
		retry(session, -r);
	else
		gb_loop_timer(&rpcd->loop, &session->timer, DIAL_MS);
}

static void on_timer(struct gb_timer *timer)
{
	struct rpcd_session *session = (struct rpcd_session *)((char *)timer - offsetof(struct rpcd_session, timer));

	if (session->target.fd >= 0)
		retry(session, ETIMEDOUT);
	else
		dial(session);
}

/* The caller has hung up (EPOLLHUP: not just the half of it). While an attempt is under way its bytes may still arrive; else
 * nobody waits any more. */
static void on_caller(struct gb_io *io, uint32_t events)
{
	struct rpcd_session *session = (struct rpcd_session *)((char *)io - offsetof(struct rpcd_session, caller));

	(void)events;
	if (session->target.fd >= 0 || session->asking) {
		gb_loop_del(io);
		return;
	}
	gb_log(GB_LOG_DEBUG, "%s: %s: gone before %s answered", session->listener->name, session->name,
	       session->listener->target_name);
	give_up(session);
}

void rpcd_proxy_accept(struct rpcd_listener *listener, int fd, const char *name)
{
	struct rpcd *rpcd = listener->rpcd;

	if (rpcd->sessions_len >= rpcd->sessions_max) {
		gb_log(GB_LOG_NOTICE, "%s: %s: turned away: all %u proxied connections are in use", listener->name, name,
		       rpcd->sessions_max);
		(void)close(fd);
		return;
	}
	struct rpcd_session *session = calloc(1, sizeof *session);
	if (!session) {
		gb_log(GB_LOG_ERR, "%s: %s: turned away: out of memory", listener->name, name);
		(void)close(fd);
		return;
	}
	session->rpcd = rpcd;
	session->listener = listener;
	(void)strlcpy(session->name, name, sizeof session->name);
	session->timer.fn = on_timer;
	session->deadline = gb_loop_now(&rpcd->loop) + rpcd->proxy_wait;
	session->pause = RETRY_MS;
	session->target.fd = -1;
	session->caller = (struct gb_io){ .fd = fd, .events = 0, .fn = on_caller }; /* EPOLLHUP and EPOLLERR come unasked */
	TAILQ_INSERT_TAIL(&rpcd->sessions, session, link);
	rpcd->sessions_len++;
	gb_log(GB_LOG_DEBUG, "%s: %s: for %s", listener->name, name, listener->target_name);
	dial(session);
}

/* Where FROM ends: a path may have an equals sign, but TO starts with the kind of an address. */
static const char *split(const char *text)
{
	static const char *const kinds[] = { "vsock:", "unix:", "tcp:", "virtio:", "fc:", "stdio" };

	for (const char *at = strchr(text, '='); at; at = strchr(at + 1, '=')) {
		for (size_t i = 0; i < GB_ARRAY_LEN(kinds); i++) {
			if (strncmp(at + 1, kinds[i], strlen(kinds[i])) == 0)
				return at;
		}
	}
	return NULL;
}

int rpcd_proxy_add(struct rpcd *rpcd, const char *text, struct gb_err *err)
{
	char from[GB_ADDR_TEXT], standard[GB_ADDR_TEXT];

	rpcd->proxies_said = true;
	if (strcmp(text, "none") == 0)
		return 0;
	if (strcmp(text, "docker") == 0) {
		(void)snprintf(standard, sizeof standard, "vsock:%u=unix:" RPCD_DOCKER_SOCKET, rpcd_docker_port());
		text = standard;
	} else if (strcmp(text, "kubernetes") == 0) {
		text = KUBERNETES;
	}
	const char *at = split(text);
	if (!at)
		return gb_err_set(err, GB_E_USAGE, "proxy \"%s\": neither FROM=TO nor docker, kubernetes, none", text);
	if ((size_t)(at - text) >= sizeof from)
		return gb_err_set(err, GB_E_USAGE, "proxy \"%s\": the address is too long", text);
	(void)strlcpy(from, text, (size_t)(at - text) + 1);
	if (rpcd->listeners_len == RPCD_LISTEN_MAX)
		return gb_err_set(err, GB_E_USAGE, "more than %d addresses", RPCD_LISTEN_MAX);
	struct rpcd_listener *listener = &rpcd->listeners[rpcd->listeners_len];
	int r = gb_addr_parse(from, &listener->addr, err);
	if (r == 0)
		r = gb_addr_parse(at + 1, &listener->target, err);
	if (r < 0)
		return r;
	/* A TCP port would be open to every process of the guest: there is nobody to ask who calls. */
	if (listener->addr.kind != GB_ADDR_VSOCK && listener->addr.kind != GB_ADDR_UNIX)
		return gb_err_set(err, GB_E_USAGE, "proxy \"%s\": only from vsock:PORT or unix:PATH", text);
	if (listener->target.kind != GB_ADDR_VSOCK && listener->target.kind != GB_ADDR_UNIX &&
	    listener->target.kind != GB_ADDR_TCP)
		return gb_err_set(err, GB_E_USAGE, "proxy \"%s\": only to unix:PATH, tcp:127.0.0.1:PORT or vsock:CID:PORT", text);
	if (listener->target.kind == GB_ADDR_VSOCK && listener->target.cid == VMADDR_CID_ANY)
		return gb_err_set(err, GB_E_USAGE, "proxy \"%s\": to which CID? (vsock:CID:PORT)", text);
	listener->proxy = true;
	(void)gb_addr_format(&listener->target, listener->target_name);
	return rpcd_listener_add(rpcd, from, err);
}

int rpcd_proxy_defaults(struct rpcd *rpcd, struct gb_err *err)
{
	bool vsock = false;

	for (int i = 0; i < rpcd->listeners_len; i++)
		vsock |= rpcd->listeners[i].addr.kind == GB_ADDR_VSOCK;
	if (rpcd->proxies_said || !vsock)
		return 0;
	int r = rpcd_proxy_add(rpcd, "docker", err);
	return r < 0 ? r : rpcd_proxy_add(rpcd, "kubernetes", err);
}

enum rpcd_port rpcd_proxy_port(const struct rpcd *rpcd, uint32_t port)
{
	for (int i = 0; i < rpcd->listeners_len; i++) {
		const struct rpcd_listener *listener = &rpcd->listeners[i];
		if (listener->proxy && listener->addr.kind == GB_ADDR_VSOCK && listener->addr.port == port)
			return listener->up ? RPCD_PORT_UP : RPCD_PORT_WAITS;
	}
	return RPCD_PORT_NONE;
}

int rpcd_proxy_open(struct rpcd *rpcd, struct gb_err *err)
{
	TAILQ_INIT(&rpcd->sessions);
	int r = gb_relay_open(&rpcd->relays, &rpcd->loop, on_ended);
	return r < 0 ? gb_err_sys(err, -r, "eventfd") : 0;
}

void rpcd_proxy_close(struct rpcd *rpcd)
{
	struct rpcd_session *session, *next;

	if (!rpcd->relays.loop) /* it did not get that far */
		return;
	TAILQ_FOREACH_SAFE(session, &rpcd->sessions, link, next) {
		if (session->relaying)
			gb_relay_stop(&session->relay, ECANCELED);
		else
			give_up(session);
	}
	gb_relay_close(&rpcd->relays);
}
