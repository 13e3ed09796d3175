/* SPDX-License-Identifier: MIT */
/* What the parts of a connection share; for common/rpc alone. */
#ifndef GB_RPC_PARTS_H
#define GB_RPC_PARTS_H

#include "common/rpc/conn.h"

enum {
	GB_CONN_TX_LOW = 64 << 10,   /* a stream that had to wait goes on */
	GB_CONN_TX_HIGH = 256 << 10, /* a peer that does not take its replies is not asked for more requests */
};

/* Bytes of replies that are still to be written. */
static inline size_t gb_conn_tx_left(const struct gb_conn *conn)
{
	return conn->tx.len - conn->tx_at;
}

/* Forgets the replies that are still to be written. */
void gb_conn_drop_tx(struct gb_conn *conn);

/* It has an end, but not before its next turn: whoever has a reply that there is no memory for goes on with the connection, as
 * after any other reply. */
void gb_conn_lose(struct gb_conn *conn);

/* Hands replies to the kernel. false when the peer is gone. */
bool gb_conn_flush(struct gb_conn *conn);

/* A host that closes a port and opens it again faster than we look leaves no trace of that but in the bytes: the start of
 * a request, or of input, and then a whole request. */
bool gb_conn_port_afresh(const struct gb_conn *conn, const char *data, size_t len);

/* Data and the news that a host has opened a port come to the driver over two queues, in no order. Until the news is
 * there a reply could not be written, and a read says end of file; so what comes early waits, but not for long: it may
 * also be the last of a host that has left. */
void gb_conn_port_watch(struct gb_conn *conn);

/* The same news may come so late that the host before is there still, to all appearance: what is taken for its request
 * would be dropped as soon as it is seen to have left. So the first request soon after a reply waits a moment. */
bool gb_conn_port_next(const struct gb_conn *conn, const char *data, size_t len);

#endif
