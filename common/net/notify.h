/* SPDX-License-Identifier: MIT */
/* Readiness, said to whoever started us: sd_notify(3)'s socket and a plain descriptor. */
#ifndef GB_NET_NOTIFY_H
#define GB_NET_NOTIFY_H

#include "common/base/err.h"

/* Sends state ("READY=1") to the socket that the environment's NOTIFY_SOCKET names: a path, @abstract, or vsock:CID:PORT
 * (as a stream; also vsock-stream:). 0 also when there is none; else -errno with err set. */
int gb_notify_socket(const char *state, struct gb_err *err);

/* Writes state and a newline to fd and closes it. 0 or -errno with err set. */
int gb_notify_fd(int fd, const char *state, struct gb_err *err);

#endif
