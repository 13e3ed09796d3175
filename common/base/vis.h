/* SPDX-License-Identifier: MIT */
/* vis(3) of libbsd, with strnvis() in OpenBSD's argument order: destination, source, size. */
#ifndef GB_BASE_VIS_H
#define GB_BASE_VIS_H

#define LIBBSD_OPENBSD_VIS
#include <bsd/vis.h>

/* How text of outside origin is shown on a terminal: no control byte gets through, blanks and backslashes stay. */
#define GB_VIS (VIS_TAB | VIS_NL | VIS_CSTYLE | VIS_NOSLASH)

#endif
