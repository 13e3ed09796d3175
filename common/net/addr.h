/* SPDX-License-Identifier: MIT */
/* Stream addresses as text: vsock, unix, virtio-serial, Firecracker, loopback TCP, stdio. */
#ifndef GB_NET_ADDR_H
#define GB_NET_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"

enum gb_addr_kind { GB_ADDR_VSOCK, GB_ADDR_UNIX, GB_ADDR_VIRTIO, GB_ADDR_FC, GB_ADDR_TCP, GB_ADDR_STDIO };

/* The longest text of any address, with its NUL. */
enum { GB_ADDR_TEXT = 160 };

struct gb_addr {
	enum gb_addr_kind kind;
	uint32_t cid, port; /* cid is VMADDR_CID_ANY when the text has none */
	char name[108];     /* a path (unix, fc), a port's name (virtio) */
};

/* Reads `vsock:PORT`, `vsock:CID:PORT`, `unix:PATH` (`unix:@NAME`: abstract), `virtio:PORTNAME`, `fc:PATH:PORT`,
 * `tcp:127.0.0.1:PORT` or `stdio`. 0 or -GB_E_USAGE. */
int gb_addr_parse(const char *text, struct gb_addr *ret_addr, struct gb_err *err);

/* The other way; text has GB_ADDR_TEXT bytes. Returns text. Pure. */
const char *gb_addr_format(const struct gb_addr *addr, char *text);

/* A listening, non-blocking socket (vsock and unix only; a unix socket that nobody listens on is replaced, its mode is
 * 0600). The descriptor, or -errno with err set. */
int gb_addr_listen(const struct gb_addr *addr, struct gb_err *err);

/* A connected stream, non-blocking, within timeout_ms. For stdio: -EINVAL, the caller has it already. The descriptor,
 * or -errno with err set. */
int gb_addr_connect(const struct gb_addr *addr, int timeout_ms, struct gb_err *err);

/* Starts to connect (vsock, unix, tcp) and does not wait: a non-blocking descriptor. When *ret_pending, the outcome is
 * SO_ERROR once it is writable. Or -errno with err set; EAGAIN: a unix socket whose backlog is full (connect(2)). */
int gb_addr_dial(const struct gb_addr *addr, bool *ret_pending, struct gb_err *err);

/* Who is at the other end of an accepted socket. */
struct gb_peer {
	bool vsock;
	uint32_t cid; /* vsock */
	uid_t uid;    /* unix: of the process that called connect(2) */
	pid_t pid;
};

/* 0 or -errno. */
int gb_addr_peer(int fd, struct gb_peer *ret_peer);

/* poll(2) until events or the deadline (CLOCK_MONOTONIC milliseconds): 0, -ETIMEDOUT or -errno. */
int gb_net_wait(int fd, short events, uint64_t deadline);

#endif
