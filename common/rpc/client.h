/* SPDX-License-Identifier: MIT */
/* The calling side: one request, one reply, with a deadline. */
#ifndef GB_RPC_CLIENT_H
#define GB_RPC_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/rpc/frame.h"

/* Sends a request over a connected, non-blocking descriptor. deadline as in gb_net_wait(). 0 or -errno with err set. */
int gb_client_send(int fd, uint32_t type, const char *trace, const void *payload, size_t len, uint64_t deadline,
		   struct gb_err *err);

/* Waits for one frame; it points into buf, which must be empty at the first call and holds what follows the frame
 * behind it: call gb_buf_eat(buf, *ret_size) before the next. 0 or -errno with err set; -ECONNRESET when the stream
 * ended. */
int gb_client_receive(int fd, struct gb_buf *buf, struct gb_frame *ret_frame, size_t *ret_size, uint64_t deadline,
		      struct gb_err *err);

/* Turns an Error frame into err: its text and code. */
int gb_client_error(const struct gb_frame *frame, struct gb_err *err);

#endif
