/* SPDX-License-Identifier: MIT */
/* Numbers from command lines and files: strict, bounded, with the reason in the error. */
#ifndef GB_BASE_PARSE_H
#define GB_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

/* A whole decimal number of len bytes, not terminated; strtoul(3) would take signs, blanks and wrapped values as well. */
bool gb_parse_u32(const char *text, size_t len, uint32_t *ret_value);
bool gb_parse_u64(const char *text, size_t len, uint64_t *ret_value);

/* A size: decimal digits and an optional K, M, G, T (powers of 1024). `what` names the value in the error. 0 or
 * -GB_E_USAGE. */
int gb_parse_size(const char *text, const char *what, uint64_t *ret_bytes, struct gb_err *err);

/* A whole number from min to max. 0 or -GB_E_USAGE. */
int gb_parse_number(const char *text, const char *what, long long min, long long max, long long *ret_value,
		    struct gb_err *err);

/* A time in seconds, decimals allowed ("2.5"), at most max_ms; in milliseconds. 0 or -GB_E_USAGE. */
int gb_parse_seconds(const char *text, const char *what, uint64_t max_ms, uint64_t *ret_ms, struct gb_err *err);

#endif
