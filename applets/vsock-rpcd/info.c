/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: GetSystemInfo. A source that cannot be read leaves its field at the default; the call never fails. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/base/utf8.h"
#include "common/net/ifaddr.h"

enum { PROC_MAX = 65536 };

/* A line "Name:   123 kB" of /proc/meminfo, in bytes. */
static uint64_t meminfo(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			return strtoull(line + len + 1, NULL, 10) * 1024;
	}
	return 0;
}

/* CPUs that a cgroup's cpu.max ("QUOTA PERIOD", or "max PERIOD") leaves, rounded down; 0: no limit there. */
static unsigned quota_of(const char *folder)
{
	gb_autobuf struct gb_buf text = { 0 };
	char path[PATH_MAX], *end;

	if ((size_t)snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder) >= sizeof path ||
	    gb_io_slurp(AT_FDCWD, path, PROC_MAX, &text) < 0)
		return 0;
	unsigned long long quota = strtoull(gb_buf_text(&text), &end, 10);
	unsigned long long period = strtoull(end, NULL, 10);
	if (end == gb_buf_text(&text) || period == 0)
		return 0;
	return quota < period ? 1 : quota / period > UINT_MAX ? 0 : (unsigned)(quota / period);
}

/* The tightest quota of our own cgroup and all above it; 0: none. */
static unsigned cgroup_cpus(void)
{
	gb_autobuf struct gb_buf text = { 0 };
	unsigned least = 0;
	char folder[PATH_MAX];

	if (gb_io_slurp(AT_FDCWD, "/proc/self/cgroup", PROC_MAX, &text) < 0)
		return 0;
	const char *own = strncmp(gb_buf_text(&text), "0::", 3) == 0 ? text.data : strstr(gb_buf_text(&text), "\n0::");
	if (!own)
		return 0;
	own = strchr(own, '/');
	if (!own)
		return 0;
	size_t len = strcspn(own, "\n");
	if (len >= sizeof folder)
		return 0;
	memcpy(folder, own, len);
	folder[len] = '\0';
	for (;;) {
		unsigned n = quota_of(folder);
		if (n && (!least || n < least))
			least = n;
		char *slash = strrchr(folder, '/');
		if (!slash)
			return least;
		*slash = '\0';
	}
}

static unsigned cpus(void)
{
	cpu_set_t set;
	/* More than 1024 CPUs make this fail with EINVAL (sched_getaffinity(2)); no micro-VM has them. */
	unsigned n = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 0;
	unsigned quota = cgroup_cpus();

	if (n == 0)
		n = 1;
	return quota && quota < n ? quota : n;
}

void rpcd_info(struct rpcd_call *call)
{
	Arcbox__V1__SystemInfo reply = ARCBOX__V1__SYSTEM_INFO__INIT;
	gb_autobuf struct gb_buf memory = { 0 };
	gb_autofree struct gb_ifaddr *addresses = malloc(GB_IFADDR_MAX * sizeof *addresses);
	char *texts[GB_IFADDR_MAX];
	struct utsname uts;
	struct timespec up;
	struct gb_err err;
	double load[3];

	if (uname(&uts) == 0) {
		gb_utf8_mend(uts.nodename, strlen(uts.nodename)); /* sethostname(2) takes any bytes */
		reply.kernel_version = uts.release;
		reply.os_name = uts.sysname;
		reply.os_version = uts.version;
		reply.arch = uts.machine;
		reply.hostname = uts.nodename;
	}
	if (gb_io_slurp(AT_FDCWD, "/proc/meminfo", PROC_MAX, &memory) == 0) {
		reply.total_memory = meminfo(gb_buf_text(&memory), "MemTotal");
		reply.available_memory = meminfo(gb_buf_text(&memory), "MemAvailable");
	}
	reply.cpu_count = cpus();
	if (getloadavg(load, 3) == 3) { /* all or none: a missing one would shift the others */
		reply.load_average = load;
		reply.n_load_average = 3;
	}
	if (clock_gettime(CLOCK_BOOTTIME, &up) == 0) /* what /proc/uptime shows */
		reply.uptime = (uint64_t)up.tv_sec;
	int n = addresses ? gb_ifaddr_list(addresses, &err) : gb_err_sys(&err, ENOMEM, "addresses");
	if (n < 0)
		gb_log(GB_LOG_WARNING, "%s: addresses: %s", call->conn->name, err.msg);
	for (int i = 0; i < n; i++)
		texts[i] = addresses[i].text;
	reply.ip_addresses = texts;
	reply.n_ip_addresses = n < 0 ? 0 : (size_t)n;
	rpcd_reply(call, &reply.base);
}
