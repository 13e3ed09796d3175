/* SPDX-License-Identifier: MIT */
/* Settings: environment, kernel command line, file, in that order, below what an option says. */
#ifndef GB_SYS_SETTING_H
#define GB_SYS_SETTING_H

#include <stddef.h>

/* One setting by all its names. Each list is NULL-terminated; the first that has a non-empty value wins. The file is
 * one of /etc/guestbox; what counts is its first line that is not empty and starts with no '#', blanks around it removed. */
struct gb_setting {
	const char *environment[4]; /* e.g. "GUESTBOX_DATA" */
	const char *cmdline[4];     /* e.g. "guestbox.data", "arcbox.docker_data_device" */
	const char *file;           /* e.g. "/etc/guestbox/data", or NULL */
};

/* Copies the value: its length, -ENOENT when it is set nowhere, or -errno: -ENAMETOOLONG, or of a file that is there and
 * cannot be read. Then it is set, and nothing else stands in for it. *ret_origin (may be NULL) names where it came from, for
 * messages; a constant string of the setting. */
int gb_setting_get(const struct gb_setting *setting, char *value, size_t size, const char **ret_origin);

#endif
