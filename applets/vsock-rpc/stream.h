/* SPDX-License-Identifier: MIT */
/* vsock-rpc: a request whose reply is a stream, with input on the way. */
#ifndef GB_VSOCK_RPC_STREAM_H
#define GB_VSOCK_RPC_STREAM_H

#include "applets/vsock-rpc/rpc.h"

/* Bytes on their way to one of our own descriptors. While there are any, nothing more is read from the connection: a
 * reader that is slow here is slow all the way to the process in the guest. */
struct rpc_out {
	int fd;
	struct gb_buf buf;
	size_t at;
};

struct rpc_stream {
	struct rpc_call *call;
	int conn; /* the caller's connection to use; 0: one is made */
	/* Input: what this descriptor yields goes out in frames of this type, and its end as an empty one. -1: none. */
	int input;
	uint32_t input_type;
	const char *input_name;
	bool input_end;  /* with input -1: the empty frame is sent all the same */
	struct rpc_out out[2];
	/* A frame that answers us. > 0: it was the last one (and that is the result); 0; or -errno with err set. */
	int (*frame)(struct rpc_stream *stream, const struct gb_frame *frame, struct gb_err *err);
	void *data;
	uint64_t sent; /* bytes of input that went out */
};

/* Connects (unless stream->conn is a connection), sends the request, and goes on until frame() says that it is over and all
 * output is written. The call's timeout is for connecting and for sending the request alone. The result of frame(), or -errno
 * with err set. */
int rpc_stream(struct rpc_stream *stream, uint32_t type, const ProtobufCMessage *request, struct gb_err *err);

/* For frame(): bytes for out[i]. 0 or -ENOMEM. */
int rpc_stream_put(struct rpc_stream *stream, int i, const void *data, size_t len);

/* The terminal fd becomes raw (termios(3), cfmakeraw()): 0 or -errno. It is as before after rpc_tty_restore(), and when a
 * signal ends or stops this program. */
int rpc_tty_raw(int fd);
void rpc_tty_restore(void);

#endif
