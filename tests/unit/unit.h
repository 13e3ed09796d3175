/* SPDX-License-Identifier: MIT */
/* cmocka wants these before its own header. */
#ifndef GB_UNIT_H
#define GB_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
