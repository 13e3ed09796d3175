/* SPDX-License-Identifier: MIT */
/* Unpacks a tar archive of a root file system into an empty folder. */
#ifndef GB_SANDBOX_UNTAR_H
#define GB_SANDBOX_UNTAR_H

#include <stdint.h>

#include "common/base/err.h"

/*
 * There is no unpacker to lean on: busybox's tar passes over pax headers (a long name comes out cut, silently), GNU's is
 * not in an initramfs, and neither can be put into a root that is being made. So this one reads ustar, pax and GNU's
 * format, and nothing that is compressed. What it cannot do right it refuses.
 *
 * Every name is resolved below the root without following a link. Device nodes and sockets are left out. Owners (below
 * `ids`), modes, times (pax: to the nanosecond), hard links, and the attributes user.* and security.capability are kept;
 * attributes of other kinds are left out.
 */
enum gb_untar_mode {
	GB_UNTAR_FILES,      /* a root file system: nothing stands below a link */
	/* A layer of an image (image-spec, layer.md), above what is there already, in two runs over it. Its names may lead
	 * through links of lower layers, as they do for whoever runs them: inside the root. */
	GB_UNTAR_WHITEOUTS,  /* first: ".wh.NAME" and ".wh..wh..opq" take away what lower layers have; nothing else is done */
	GB_UNTAR_LAYER,      /* then: everything else. A file may take a folder's place */
};

struct gb_untar_limits {
	enum gb_untar_mode mode;
	uint64_t entries; /* members */
	uint64_t bytes;   /* of their contents */
	uint64_t reserve; /* bytes that have to stay free on the file system */
	uint32_t ids;     /* owners are below this */
};

struct gb_untar_result {
	uint64_t entries, bytes, left_out;
};

/* Reads `in` to its end (it has to be: whoever writes it never sees a closed pipe) and unpacks into the folder root. 0, or
 * -errno with err set: -EBADMSG (not a whole archive, or not one that can be kept), -E2BIG (a limit), -ENOSPC, others. */
int gb_untar(int in, int root, const struct gb_untar_limits *limits, struct gb_untar_result *ret_result, struct gb_err *err);

/* The same in a child process that has the folder as its root and only the rights it needs. Blocks; for a thread. */
int gb_untar_confined(int in, int root, const struct gb_untar_limits *limits, struct gb_untar_result *ret_result,
		      struct gb_err *err);

#endif
