/* SPDX-License-Identifier: MIT */
/* libnl: netlink messages and sockets. */
#ifndef GB_SYS_NL_H
#define GB_SYS_NL_H

#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#endif
