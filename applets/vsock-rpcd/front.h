/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: what the parts of the front share. */
#ifndef GB_RPCD_FRONT_H
#define GB_RPCD_FRONT_H

#include "applets/vsock-rpcd/rpcd.h"

/* ---- to the helper (channel.c) ---- */

void rpcd_front_word(struct rpcd *rpcd, enum rpcd_word_kind kind, uint32_t id);

/* The calls of a connection that hand its requests to the helper, and its replies back. */
void rpcd_channel_prepare(struct gb_conn_host *host);

/* A client is done with the helper: what it has yet to answer is answered to nobody. */
void rpcd_channel_detach(struct rpcd_client *client);

/* The helper is to hear when this client has all its replies. */
void rpcd_channel_deliver(struct rpcd_client *client);

/* ---- rights (confine.c) ---- */

/* Closes all that the helper has open but for what the front needs. */
void rpcd_front_close_others(const struct rpcd *rpcd, int link);

/* Everything that is not needed any more goes; what the kernel cannot take away is told, at debug level. 0, or -errno: the
 * capabilities are still there. */
int rpcd_front_confine(const struct rpcd *rpcd);

#endif
