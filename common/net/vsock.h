/* SPDX-License-Identifier: MIT */
/* vsock addresses: the kernel's header, which in some releases names types of <sys/socket.h> and does not include it. */
#ifndef GB_NET_VSOCK_H
#define GB_NET_VSOCK_H

#include <sys/socket.h>

#include <linux/vm_sockets.h>

#endif
