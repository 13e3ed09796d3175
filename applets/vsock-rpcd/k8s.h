/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: ending Kubernetes. What is here blocks, and runs in threads. */
#ifndef GB_RPCD_K8S_H
#define GB_RPCD_K8S_H

#include <stdbool.h>

#include "common/base/buf.h"

/* Ends k3s, what it has started, and its pods; unmounts what they had. False: something is left; detail names it. One at a
 * time: a second caller waits. */
bool rpcd_k8s_stop(struct gb_buf *detail);

/* Ends it and removes all that it has stored. What could not be done is told in detail; the rest is done all the same.
 * containerd is awaited, which the caller has had started, unless its failures have become more than they were before. */
void rpcd_k8s_delete(const char *dir, unsigned failures, struct gb_buf *detail);

#endif
