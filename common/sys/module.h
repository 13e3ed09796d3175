/* SPDX-License-Identifier: MIT */
/* Kernel modules: found by the text tables that depmod(8) leaves, loaded by finit_module(2). */
#ifndef GB_SYS_MODULE_H
#define GB_SYS_MODULE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

struct gb_modules {
	char folder[256];           /* /lib/modules/RELEASE */
	struct gb_buf dep, alias, builtin, cmdline;
	/* Called before and after each finit_module(2); NULL: not. */
	void (*loaded)(const char *name, int result);
	/* For tests, in place of the system call: 0 or -errno. NULL: the real one. */
	int (*init)(const char *path, const char *params);
};

/* Reads the tables below folder; a missing modules.alias or modules.builtin is an empty one. 0 or -errno with err. */
int gb_module_open(struct gb_modules *modules, const char *folder, struct gb_err *err);
void gb_module_close(struct gb_modules *modules);

/* Loads a module after those it needs, with the parameters that the kernel command line has for it (NAME.PARAM=VALUE).
 * One that is there already, or built in, is no failure. 0, -ENOENT when there is none of that name, or -errno, with err. */
int gb_module_load(struct gb_modules *modules, const char *name, struct gb_err *err);

/* The next module whose alias pattern a device's modalias matches, by the order of modules.alias: its name, NULL at the
 * end. *pos starts at 0. Pure. */
const char *gb_module_match(const struct gb_modules *modules, const char *modalias, size_t *pos, char name[64]);

/* ---- pure parts ---- */

/* Whether modules.builtin has it. */
bool gb_module_is_builtin(const char *builtin, const char *name);

/* "NAME.PARAM=VALUE" of the kernel command line as "PARAM=VALUE ...". */
void gb_module_params(const char *cmdline, const char *name, struct gb_buf *ret_params);

#endif
