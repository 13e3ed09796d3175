/* SPDX-License-Identifier: MIT */
/* A kubeconfig, rewritten for the host. Pure. */
#ifndef GB_RPC_KUBECONFIG_H
#define GB_RPC_KUBECONFIG_H

#include "common/base/buf.h"

/* Appends text with each `server:` line pointing to endpoint, and with the name `default` of cluster, user, context and
 * current context changed to name: what the reference's host does with the guest's file. All else stays byte for byte.
 * 0 or -ENOMEM. */
int gb_kubeconfig_rewrite(const char *text, const char *endpoint, const char *name, struct gb_buf *buf);

#endif
