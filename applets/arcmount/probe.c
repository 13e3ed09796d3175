/* SPDX-License-Identifier: MIT */
/* arcmount probe: the rules of mount(2), umount2(2) and pivot_root(2), one by one, against the kernel that runs. */
#include <bsd/string.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applets/arcmount/arcmount.h"
#include "applets/arcmount/probe.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/json.h"
#include "common/mount/apply.h"
#include "common/mount/offer.h"
#include "common/sys/mountinfo.h"

enum { OPT_JSON = GB_OPT_LONG };

const struct gb_opt arcmount_probe_opts[] = {
	GB_OPT(OPT_JSON, "json", "", "one JSON value instead of TAP"),
	{ 0 },
};

char arcmount_probe_work[64];

void arcmount_probe_judge(struct probe_result *r, enum probe_verdict verdict, const char *expected, const char *fmt, ...)
{
	va_list ap;

	/* A rule of several parts ends with the first that does not hold. */
	if (r->verdict == PROBE_NOT_OK || r->verdict == PROBE_SKIPPED || (r->verdict == PROBE_DIFFERS && verdict == PROBE_OK))
		return;
	r->verdict = verdict;
	(void)strlcpy(r->expected, expected, sizeof r->expected);
	va_start(ap, fmt);
	(void)vsnprintf(r->seen, sizeof r->seen, fmt, ap);
	va_end(ap);
}

/* A tmpfs at a folder that is there anyway: nothing is ever made outside of the namespace. */
static int settle(void)
{
	static const char *const places[] = { "/tmp", "/run", "/mnt", "/var", "/home", "/root", "/etc", "/sys" };
	struct stat st;

	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	int r = gb_mount_raw(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (r < 0 && gb_mountinfo_is_root(AT_FDCWD, "/", 0) == 1)
		return r;
	for (size_t i = 0; i < GB_ARRAY_LEN(places); i++) {
		if (stat(places[i], &st) == 0 && S_ISDIR(st.st_mode)) {
			(void)strlcpy(arcmount_probe_work, places[i], sizeof arcmount_probe_work);
			return gb_mount_raw("probe", arcmount_probe_work, "tmpfs", 0, NULL);
		}
	}
	return -ENOENT;
}

/* Makes that tmpfs the root, as init's from an initramfs do, with an empty one at /work. */
static int move_in(void)
{
	if (chdir(arcmount_probe_work) < 0)
		return -errno;
	int r = gb_mount_raw(".", "/", NULL, MS_MOVE, NULL);
	if (r < 0)
		return r;
	if (chroot(".") < 0 || chdir("/") < 0)
		return -errno;
	(void)strlcpy(arcmount_probe_work, "", sizeof arcmount_probe_work);
	if (mkdir("/work", 0755) < 0 || mkdir("/proc", 0755) < 0)
		return -errno;
	(void)gb_mount_raw("proc", "/proc", "proc", 0, NULL);
	(void)strlcpy(arcmount_probe_work, "/work", sizeof arcmount_probe_work);
	return 0;
}

static void run_rule(const struct probe_rule *rule, struct probe_result *result)
{
	int ends[2];

	*result = (struct probe_result){ 0 };
	if (pipe2(ends, O_CLOEXEC) < 0) {
		arcmount_probe_judge(result, PROBE_SKIPPED, "-", "pipe: %s", strerror(errno));
		return;
	}
	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		struct probe_result own = { 0 };
		int r = settle();

		if (r == 0 && rule->own_root)
			r = move_in();
		if (r < 0)
			arcmount_probe_judge(&own, PROBE_SKIPPED, "-", "no place to work in: %s", strerror(-r));
		else
			rule->run(&own);
		(void)gb_io_write(ends[1], &own, sizeof own);
		_exit(0);
	}
	(void)close(ends[1]);
	if (pid < 0)
		arcmount_probe_judge(result, PROBE_SKIPPED, "-", "fork: %s", strerror(errno));
	else if (gb_io_read(ends[0], result, sizeof *result) != (ssize_t)sizeof *result)
		*result = (struct probe_result){ .verdict = PROBE_NOT_OK, .expected = "-", .seen = "the rule's process died" };
	(void)close(ends[0]);
	if (pid > 0)
		(void)gb_io_wait(pid, NULL);
	if (result->verdict == PROBE_NOT_RUN)
		arcmount_probe_judge(result, PROBE_NOT_OK, "-", "the rule's process said nothing");
}

int arcmount_probe(struct gb_cmd *cmd, struct gb_err *err)
{
	static const char *const words[] = { "not ok", "ok", "not ok", "differs", "skipped" };
	struct gb_json json = { 0 };
	struct gb_optscan scan;
	bool as_json = false;
	size_t count = 0, failed = 0;
	int key, r;

	gb_opt_start(&scan, arcmount_probe_opts, cmd->argc, cmd->argv, 0);
	while ((key = gb_opt_next(&scan, err)) > 0)
		as_json = true;
	if (key < 0)
		return key;
	r = gb_opt_operands(&scan, 0, 0, NULL, err);
	if (r < 0)
		return r;
	if (!gb_mount_allowed())
		return gb_err_set(err, EPERM, "the rules need root (CAP_SYS_ADMIN)");
	while (arcmount_probe_rules[count].name)
		count++;
	if (as_json)
		gb_json_open(&json, NULL, '[');
	else
		printf("1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		const struct probe_rule *rule = &arcmount_probe_rules[i];
		struct probe_result res;

		run_rule(rule, &res);
		failed += res.verdict == PROBE_NOT_OK;
		if (as_json) {
			gb_json_open(&json, NULL, '{');
			gb_json_str(&json, "rule", rule->name);
			gb_json_str(&json, "text", rule->text);
			gb_json_str(&json, "expected", res.expected);
			gb_json_str(&json, "seen", res.seen);
			gb_json_str(&json, "result", words[res.verdict]);
			gb_json_close(&json, '}');
		} else if (res.verdict == PROBE_SKIPPED) {
			printf("ok %zu - %s %s # SKIP %s\n", i + 1, rule->name, rule->text, res.seen);
		} else {
			printf("%s %zu - %s %s: expected %s, seen %s%s\n", res.verdict == PROBE_NOT_OK ? "not ok" : "ok", i + 1,
			       rule->name, rule->text, res.expected, res.seen,
			       res.verdict == PROBE_DIFFERS ? "; Linux differs from the reference" : "");
		}
	}
	if (as_json) {
		gb_json_close(&json, ']');
		r = gb_json_print(&json, err);
		if (r < 0)
			return r;
	}
	return failed ? 1 : 0;
}
