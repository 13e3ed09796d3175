/* SPDX-License-Identifier: MIT */
/* libblkid. */
#include "common/mount/tag.h"

#include <blkid.h>
#include <bsd/string.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"

static bool is_tag(const char *source)
{
	static const char *const names[] = { "LABEL=", "UUID=", "PARTLABEL=", "PARTUUID=" };

	for (size_t i = 0; i < GB_ARRAY_LEN(names); i++) {
		if (strncmp(source, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

int gb_mount_tag_resolve(const char *source, char *device, size_t size, struct gb_err *err)
{
	char text[1024];

	if (!is_tag(source)) {
		if (strlcpy(device, source, size) >= size)
			return gb_err_sys(err, ENAMETOOLONG, "%s", source);
		return 0;
	}
	if (strlcpy(text, source, sizeof text) >= sizeof text)
		return gb_err_sys(err, ENAMETOOLONG, "%s", source);
	/* LABEL="a b" is written with quotes in fstab(5). */
	char *value = strchr(text, '=') + 1;
	size_t n = strlen(value);
	if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
		memmove(value, value + 1, n - 2);
		value[n - 2] = '\0';
	}
	value[-1] = '\0';
	/* Devices are looked at anew: no cache file of another boot is believed. */
	blkid_cache cache = NULL;
	if (blkid_get_cache(&cache, "/dev/null") != 0)
		return gb_err_sys(err, ENOMEM, "%s", source);
	char *found = blkid_evaluate_tag(text, value, &cache);
	/* A UUID is a number, however its letters are written: libblkid has FAT's in capitals, the others small. */
	if (!found && strstr(text, "UUID")) {
		for (char *p = value; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		found = blkid_evaluate_tag(text, value, &cache);
		for (char *p = value; *p && !found; p++)
			*p = (char)toupper((unsigned char)*p);
		if (!found)
			found = blkid_evaluate_tag(text, value, &cache);
	}
	blkid_put_cache(cache);
	if (!found)
		return gb_err_set(err, ENODEV, "%s: no device has this %s", source, text);
	n = strlcpy(device, found, size);
	free(found);
	return n >= size ? gb_err_sys(err, ENAMETOOLONG, "%s", source) : 0;
}

int gb_mount_tag_type(const char *device, char *type, size_t size, struct gb_err *err)
{
	gb_autoclose int fd = open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	const char *value = NULL;
	int r = 0;

	if (fd < 0)
		return gb_err_sys(err, errno, "source %s", device);
	struct stat st;
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)))
		return gb_err_set(err, ENOTBLK, "source %s is no block device and no disk image; a type (-t) is needed", device);
	blkid_probe probe = blkid_new_probe();
	if (!probe)
		return gb_err_sys(err, ENOMEM, "%s", device);
	if (blkid_probe_set_device(probe, fd, 0, 0) < 0 || blkid_probe_enable_superblocks(probe, 1) < 0 ||
	    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE) < 0) {
		r = gb_err_sys(err, EIO, "source %s", device);
	} else {
		r = blkid_do_safeprobe(probe);
		if (r == -2)
			r = gb_err_set(err, EBADMSG, "source %s has traces of more than one file system; say which (-t)", device);
		else if (r == 0 && blkid_probe_lookup_value(probe, "TYPE", &value, NULL) == 0)
			(void)strlcpy(type, value, size);
		else
			r = gb_err_set(err, ENODATA, "source %s holds no file system that is known here", device);
	}
	blkid_free_probe(probe);
	return r;
}
