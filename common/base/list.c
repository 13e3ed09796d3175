/* SPDX-License-Identifier: MIT */
/* Lists that grow. */
#include "common/base/list.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <string.h>

enum { FIRST = 16 };

int gb_list_room(void *list, size_t count, size_t *size, size_t width)
{
	size_t more = *size ? 2 * *size : FIRST;
	void *rows;

	if (count < *size)
		return 0;
	memcpy(&rows, list, sizeof rows); /* a pointer of whatever type */
	rows = reallocarray(rows, more, width);
	if (!rows)
		return -ENOMEM;
	memcpy(list, &rows, sizeof rows);
	*size = more;
	return 0;
}
