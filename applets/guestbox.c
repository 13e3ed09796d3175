/* SPDX-License-Identifier: MIT */
/* The multicall program: finds the applet by argv[0] or the first argument, runs it, prints its error, exits. */
#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/applet.h"
#include "applets/help.h"
#include "common/base/cleanup.h"
#include "common/base/mono.h"
#include "common/sys/timeline.h"

#define GB_APPLET(id) extern const struct gb_applet gb_applet_##id;
GB_APPLET_LIST
#undef GB_APPLET
#define GB_APPLET(id) &gb_applet_##id,
static const struct gb_applet *const applets[] = { GB_APPLET_LIST };
#undef GB_APPLET

enum { EXIT_UNKNOWN_APPLET = 127 };
enum { OPT_LIST = GB_OPT_LONG, OPT_INSTALL, OPT_ALIASES, OPT_DUMP };

static const struct gb_opt own_opts[] = {
	GB_OPT(OPT_LIST, "list", "", "list the applets, a name a line"),
	GB_OPT(OPT_INSTALL, "install", "", "make a link to this program for each applet in DIR"),
	GB_OPT('s', "", "", "with --install: symbolic links instead of hard ones"),
	GB_OPT(OPT_ALIASES, "aliases", "", "with --install: also mount, umount, poweroff and the like"),
	GB_OPT(OPT_DUMP, "dump-options", "", "list every option, tab-separated, of APPLET or of all"),
	{ 0 },
};

static const struct gb_applet own = {
	.name = "guestbox",
	.summary = "the toolkit that runs inside Linux micro-VMs",
	.synopsis = "APPLET [ARG...]\n--list\n--install [-s] [--aliases] DIR\n--dump-options [APPLET]\n--help [APPLET]",
	.opts = own_opts,
};

static const struct gb_verb *find_alias(const struct gb_applet *applet, const char *name)
{
	for (const struct gb_verb *a = applet->aliases; a && a->name; a++) {
		if (strcmp(a->name, name) == 0)
			return a;
	}
	return NULL;
}

/* An applet by its name or by one of its aliases. */
static const struct gb_applet *find(const char *name, const struct gb_verb **ret_alias)
{
	for (size_t i = 0; i < GB_ARRAY_LEN(applets); i++) {
		if (strcmp(applets[i]->name, name) == 0) {
			*ret_alias = NULL;
			return applets[i];
		}
		const struct gb_verb *alias = find_alias(applets[i], name);
		if (alias) {
			*ret_alias = alias;
			return applets[i];
		}
	}
	return NULL;
}

/* Output that did not get out is a failure (a full disk, a closed pipe), as in coreutils' close_stdout(). */
static int flushed(int status)
{
	errno = 0;
	int failed = ferror(stdout);
	int saved = failed ? EIO : 0;
	if (fflush(stdout) != 0) {
		failed = 1;
		saved = errno;
	}
	if (failed && status == 0) {
		if (saved != EPIPE)
			fprintf(stderr, "%s: standard output: %s\n", getprogname(), strerror(saved));
		return 1;
	}
	return status;
}

static void print_version(void)
{
	printf("guestbox %s\n", PACKAGE_VERSION);
}

static int report(const struct gb_cmd *cmd, const struct gb_err *err)
{
	const struct gb_verb *verb = cmd->verb;

	switch (err->code) {
	case GB_E_HELP:
		gb_help_print(stdout, cmd->applet, verb);
		return 0;
	case GB_E_VERSION:
		print_version();
		return 0;
	case GB_E_SILENT:
		break;
	default:
		gb_complain(err->msg);
		if (err->code == GB_E_USAGE) {
			bool alias = verb && find_alias(cmd->applet, verb->name) == verb;
			fprintf(stderr, "Try '%s%s%s --help'.\n", alias ? verb->name : cmd->applet->name,
				verb && !alias ? " " : "", verb && !alias ? verb->name : "");
		}
	}
	return verb && verb->status ? verb->status(err) : gb_err_status(err);
}

/* A step of the boot's timeline for each run of an applet: "arcmount mount /proc". */
static void mark(const struct gb_cmd *cmd, uint64_t begun)
{
	char name[56];
	const char *last = cmd->argc > 1 ? cmd->argv[cmd->argc - 1] : "";

	if (cmd->unmarked)
		return;
	if (*last == '-')
		last = "";
	(void)snprintf(name, sizeof name, "%s%s%s", cmd->verb ? cmd->verb->name : cmd->applet->name, *last ? " " : "", last);
	gb_timeline_mark(cmd->applet->name, name, begun);
}

static int run(const struct gb_applet *applet, const struct gb_verb *alias, int argc, char **argv)
{
	struct gb_cmd cmd = { .applet = applet, .verb = alias, .argc = argc, .argv = argv };
	struct gb_err err = { 0 };
	uint64_t begun = gb_mono_ns();
	int r;

	setprogname(alias ? alias->name : applet->name);
	if (alias) {
		r = alias->run(&cmd, &err);
	} else if (applet->run) {
		r = applet->run(&cmd, &err);
	} else if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		r = gb_err_set(&err, GB_E_HELP, "help");
	} else if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		r = gb_err_set(&err, GB_E_VERSION, "version");
	} else {
		r = gb_verb_run(&cmd, argc - 1, argv + 1, &err);
	}
	if (r < 0 && !err.code)
		(void)gb_err_sys(&err, -r, "%s", argv[0]);
	mark(&cmd, begun);
	return flushed(r < 0 ? report(&cmd, &err) : r);
}

int gb_applet_call(int argc, char **argv)
{
	const struct gb_verb *alias;
	const struct gb_applet *applet = find(argv[0], &alias);

	return applet && !alias ? run(applet, NULL, argc, argv) : -ENOENT;
}

static int link_one(const char *dir, int dirfd, const char *target, const char *name, bool symbolic,
		    struct gb_err *err)
{
	char tmp[NAME_MAX + 1];

	/* Through a temporary name: an applet that is in use is replaced in one step, never missing. */
	(void)snprintf(tmp, sizeof tmp, ".%s.%d", name, (int)getpid());
	int r = symbolic ? symlinkat(target, dirfd, tmp) : linkat(AT_FDCWD, target, dirfd, tmp, 0);
	if (r < 0)
		return gb_err_sys(err, errno, "%s/%s", dir, name);
	if (renameat(dirfd, tmp, dirfd, name) < 0) {
		int saved = errno;
		(void)unlinkat(dirfd, tmp, 0);
		return gb_err_sys(err, saved, "%s/%s", dir, name);
	}
	/* rename(2) of two links to one inode does nothing and leaves both. */
	(void)unlinkat(dirfd, tmp, 0);
	return 0;
}

static int install(const char *dir, bool symbolic, bool aliases, struct gb_err *err)
{
	char self[PATH_MAX], home[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n < 0)
		return gb_err_sys(err, errno, "/proc/self/exe");
	self[n] = '\0';
	gb_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", dir);
	/* In the program's own folder a bare name is the better symbolic link: it survives a move of the folder. */
	const char *target = self, *slash = strrchr(self, '/');
	if (symbolic && slash && realpath(dir, home) && strncmp(home, self, (size_t)(slash - self)) == 0 &&
	    home[slash - self] == '\0')
		target = slash + 1;
	for (size_t i = 0; i < GB_ARRAY_LEN(applets); i++) {
		int r = link_one(dir, fd, target, applets[i]->name, symbolic, err);
		for (const struct gb_verb *a = applets[i]->aliases; r == 0 && aliases && a && a->name; a++)
			r = link_one(dir, fd, target, a->name, symbolic, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int no_such_applet(const char *name)
{
	fprintf(stderr, "guestbox: unknown applet \"%s\"\nTry 'guestbox --list'.\n", name);
	return EXIT_UNKNOWN_APPLET;
}

static int by_name(int argc, char **argv)
{
	const struct gb_verb *alias;
	const struct gb_applet *applet = find(argv[0], &alias);

	return applet ? run(applet, alias, argc, argv) : no_such_applet(argv[0]);
}

static int own_run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct gb_optscan scan;
	bool list = false, links = false, symbolic = false, aliases = false, dump = false;
	const struct gb_verb *alias;
	int key, r;

	gb_opt_start(&scan, own_opts, cmd->argc, cmd->argv, GB_OPT_STOP);
	while ((key = gb_opt_next(&scan, err)) > 0) {
		switch (key) {
		case OPT_LIST: list = true; break;
		case OPT_INSTALL: links = true; break;
		case 's': symbolic = true; break;
		case OPT_ALIASES: aliases = true; break;
		case OPT_DUMP: dump = true; break;
		}
	}
	if (key == -GB_E_HELP && scan.index < scan.argc) {
		const struct gb_applet *applet = find(scan.argv[scan.index], &alias);
		if (!applet)
			return no_such_applet(scan.argv[scan.index]);
		gb_help_print(stdout, applet, alias);
		return 0;
	}
	if (key < 0)
		return key;
	if (list + links + dump > 1)
		return gb_err_set(err, GB_E_USAGE, "only one of --list, --install, --dump-options at a time");
	if ((symbolic || aliases) && !links)
		return gb_err_set(err, GB_E_USAGE, "%s goes with --install", symbolic ? "-s" : "--aliases");
	if (links) {
		r = gb_opt_operands(&scan, 1, 1, "folder", err);
		return r < 0 ? r : install(scan.argv[scan.index], symbolic, aliases, err);
	}
	if (list) {
		r = gb_opt_operands(&scan, 0, 0, NULL, err);
		for (size_t i = 0; r == 0 && i < GB_ARRAY_LEN(applets); i++)
			puts(applets[i]->name);
		return r;
	}
	if (dump) {
		r = gb_opt_operands(&scan, 0, 1, NULL, err);
		if (r < 0)
			return r;
		if (scan.index < scan.argc) {
			const struct gb_applet *applet = find(scan.argv[scan.index], &alias);
			if (!applet)
				return no_such_applet(scan.argv[scan.index]);
			gb_help_dump(stdout, applet);
			return 0;
		}
		gb_help_dump(stdout, &own);
		for (size_t i = 0; i < GB_ARRAY_LEN(applets); i++)
			gb_help_dump(stdout, applets[i]);
		return 0;
	}
	r = gb_opt_operands(&scan, 1, -1, "applet", err);
	return r < 0 ? r : by_name(scan.argc - scan.index, scan.argv + scan.index);
}

/* Where a standard descriptor is closed (a kernel without a console starts PID 1 so) the next file would get its number, and
 * what is printed would go into that: the data disk. Each is held by one that takes nothing: EBADF, as before. */
static void hold_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			return; /* no /dev, no disk */
	}
}

int main(int argc, char **argv)
{
	const struct gb_verb *alias;
	const char *name = argc > 0 && argv[0] ? argv[0] : "guestbox";
	const char *slash = strrchr(name, '/');

	hold_standard();
	(void)signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would lose what children end with */
	if (slash)
		name = slash + 1;
	if (*name == '-')
		name++; /* a login shell's habit, which init(8) imitates */
	const struct gb_applet *applet = find(name, &alias);
	if (applet)
		return run(applet, alias, argc, argv);
	if (strncmp(name, "guestbox", 8) != 0)
		return no_such_applet(name);

	setprogname("guestbox");
	if (argc > 1 && argv[1][0] != '-')
		return by_name(argc - 1, argv + 1);
	struct gb_cmd cmd = { .applet = &own, .argc = argc, .argv = argv };
	struct gb_err err = { 0 };
	int r = own_run(&cmd, &err);
	return flushed(r < 0 ? report(&cmd, &err) : r);
}
