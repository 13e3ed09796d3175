/* SPDX-License-Identifier: MIT */
/* Lists that grow. */
#ifndef GB_BASE_LIST_H
#define GB_BASE_LIST_H

#include <stddef.h>

/* Room for one more row behind `count` of them. list is the address of the pointer to the rows (NULL while *size is 0), of
 * `width` bytes each; *size, how many there is room for, grows with it. 0 or -ENOMEM, which leaves all as it was. */
int gb_list_room(void *list, size_t count, size_t *size, size_t width);

#endif
