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

void gb_conn_drop_tx(struct gb_conn *conn);

/* Hands replies to the kernel. false when the peer is gone. */
bool gb_conn_flush(struct gb_conn *conn);

#endif
