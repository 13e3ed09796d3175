/* SPDX-License-Identifier: MIT */
/* Kubeconfigs, line by line: k3s writes each key on a line of its own. */
#include "common/rpc/kubeconfig.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/cleanup.h"

/* Where the value of "key: value" begins, behind blanks and list dashes; NULL: the line is of another key. */
static const char *value_of(const char *line, const char *key)
{
	size_t len = strlen(key);

	line += strspn(line, " -");
	if (strncmp(line, key, len) != 0 || line[len] != ':')
		return NULL;
	line += len + 1;
	return *line == ' ' ? line + strspn(line, " ") : NULL;
}

static bool is_default(const char *value, size_t len)
{
	while (len && (value[len - 1] == ' ' || value[len - 1] == '\r'))
		len--;
	return (len == 7 && memcmp(value, "default", 7) == 0) || (len == 9 && memcmp(value, "\"default\"", 9) == 0);
}

int gb_kubeconfig_rewrite(const char *text, const char *endpoint, const char *name, struct gb_buf *buf)
{
	static const char *const named[] = { "name", "cluster", "user", "current-context" };

	while (*text) {
		size_t len = strcspn(text, "\n");
		const char *value = value_of(text, "server"), *put = endpoint;

		for (size_t i = 0; !value && i < GB_ARRAY_LEN(named); i++) {
			value = value_of(text, named[i]);
			put = name;
			if (value && !is_default(value, len - (size_t)(value - text)))
				value = NULL;
		}
		if (value) {
			(void)gb_buf_add(buf, text, (size_t)(value - text));
			(void)gb_buf_str(buf, put);
		} else {
			(void)gb_buf_add(buf, text, len);
		}
		text += len;
		if (*text) {
			(void)gb_buf_str(buf, "\n");
			text++;
		}
	}
	return buf->failed ? -ENOMEM : 0;
}
