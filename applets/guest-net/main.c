/* SPDX-License-Identifier: MIT */
/* guest-net: the guest's network, from lo to resolv.conf. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applets/guest-net/net.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/json.h"
#include "common/base/parse.h"
#include "common/sys/setting.h"

enum { OPT_INTERFACE = GB_OPT_LONG, OPT_IP, OPT_HOSTNAME, OPT_WAIT, OPT_LEASE, OPT_ETC, OPT_CLIENT, OPT_SCRIPT, OPT_SYS,
       OPT_DRY_RUN, OPT_JSON };

static const struct gb_opt opts[] = {
	GB_OPT(OPT_INTERFACE, "interface", "WHICH", "a name or a MAC address; none: only lo [the first that has a device]"),
	GB_OPT(OPT_IP, "ip", "SPEC", "address and so on, as in ip= of the kernel command line [that one; else DHCP]"),
	GB_OPT(OPT_HOSTNAME, "hostname", "NAME", "the machine's name"),
	GB_OPT(OPT_WAIT, "wait", "S", "how long a named interface has to appear [5]"),
	GB_OPT(OPT_LEASE, "lease-wait", "S", "how long to wait for a lease, which the client goes on asking for [6]"),
	GB_OPT(OPT_CLIENT, "client", "PROGRAM", "the DHCP client, called like busybox's udhcpc [udhcpc, busybox udhcpc]"),
	GB_OPT(OPT_SCRIPT, "script", "FILE", "what it calls [/lib/guestbox/udhcpc]"),
	GB_OPT(OPT_ETC, "etc", "DIR", "where hosts and resolv.conf are [/etc]"),
	GB_OPT(OPT_SYS, "sys", "DIR", "where the interfaces are listed [/sys/class/net]"),
	GB_OPT(OPT_DRY_RUN, "dry-run", "", "print what would be done"),
	GB_OPT(OPT_JSON, "json", "", "print one JSON value"),
	{ 0 },
};

enum { WAIT_MS = 5000, LEASE_MS = 6000, CARRIER_MS = 1000, MOST_MS = 3600000 };

struct choice {
	const char *interface, *ip, *hostname;
	bool dry_run, json;
};

/* The words of whoever configures this machine: an option, the environment, the kernel command line, a file. 1; 0: there are
 * none; or -errno with err set. */
static int setting(const char *name, const char *option, const struct gb_setting *setting, char *value, size_t size,
		   const char **ret_origin, struct gb_err *err)
{
	*ret_origin = "option";
	if (option)
		return strlcpy(value, option, size) < size ? 1 : gb_err_set(err, GB_E_USAGE, "--%s: too long", name);
	int r = gb_setting_get(setting, value, size, ret_origin);
	return r < 0 && r != -ENOENT ? gb_err_sys(err, -r, "%s", *ret_origin) : r > 0;
}

static int choose_name(const struct choice *choice, struct net_job *job, struct gb_err *err)
{
	static const struct gb_setting said = { .environment = { "GUESTBOX_HOSTNAME" }, .cmdline = { "guestbox.hostname" } };
	static const struct gb_setting kept = { .file = "/etc/guestbox/hostname" };
	gb_autobuf struct gb_buf text = { 0 };
	char path[PATH_MAX], name[256] = "";
	const char *origin;

	job->hostname_said = true;
	if (choice->hostname && !gb_net_is_hostname(choice->hostname))
		return gb_err_set(err, GB_E_USAGE, GB_NET_NO_HOSTNAME, choice->hostname);
	int r = setting("hostname", choice->hostname, &said, name, sizeof name, &origin, err);
	if (r < 0)
		return r;
	if (!r || !*name) {
		if (job->conf.hostname[0]) {
			origin = "ip";
			(void)strlcpy(name, job->conf.hostname, sizeof name);
		} else {
			job->hostname_said = false;
			r = setting("hostname", NULL, &kept, name, sizeof name, &origin, err);
			if (r < 0)
				return r;
			if (!r) {
				/* hostname(5): the first line that is no comment; most have one line. */
				(void)snprintf(path, sizeof path, "%s/hostname", job->etc);
				if (gb_io_slurp(AT_FDCWD, path, 4096, &text) == 0)
					(void)snprintf(name, sizeof name, "%.*s", (int)strcspn(gb_buf_text(&text), " \t\r\n"),
						       gb_buf_text(&text));
				origin = path;
			}
		}
	}
	if (*name && !gb_net_is_hostname(name)) {
		if (job->hostname_said)
			return gb_err_set(err, EINVAL, "%s: " GB_NET_NO_HOSTNAME, origin, name);
		name[0] = '\0'; /* a file of any content */
	}
	(void)strlcpy(job->hostname, name, sizeof job->hostname);
	return 0;
}

/* What is to be done, from all that says so. */
static int choose(const struct choice *choice, struct net_job *job, struct gb_err *err)
{
	static const struct gb_setting ip = { .environment = { "GUESTBOX_IP" }, .cmdline = { "ip" }, .file = "/etc/guestbox/ip" };
	static const struct gb_setting net = { .environment = { "GUESTBOX_NET" }, .cmdline = { "guestbox.net" },
					       .file = "/etc/guestbox/net" };
	const char *origin;
	char text[512];

	int r = setting("ip", choice->ip, &ip, text, sizeof text, &origin, err);
	if (r > 0 && (r = gb_net_parse(text, &job->conf, err)) < 0)
		return choice->ip ? gb_err_set(err, GB_E_USAGE, "--ip: %s", err->msg) : gb_err_wrap(err, "%s", origin);
	if (r >= 0)
		r = setting("interface", choice->interface, &net, job->wanted, sizeof job->wanted, &origin, err);
	if (r < 0)
		return r;
	/* A device in ip= is the one that is meant, unless somebody who is asked first says otherwise. */
	if (!job->wanted[0])
		(void)strlcpy(job->wanted, job->conf.device, sizeof job->wanted);
	return choose_name(choice, job, err);
}

static int plan(const struct net_job *job, struct net_step *steps)
{
	int n = 0;

	steps[n++] = (struct net_step){ "loopback", 5000, false, net_loopback };
	steps[n++] = (struct net_step){ "hostname", 1000, false, net_hostname };
	steps[n++] = (struct net_step){ "hosts", 2000, false, net_hosts };
	if (strcmp(job->wanted, "none") == 0 || (job->conf.how == GB_NET_OFF && !job->wanted[0]))
		return n;
	steps[n++] = (struct net_step){ "interface", job->wait_ms + 2000, false, net_interface };
	steps[n++] = (struct net_step){ "link", job->carrier_ms + 5000, true, net_link };
	if (job->conf.how == GB_NET_AUTO) {
		steps[n++] = (struct net_step){ "dhcp", job->lease_ms + 2000, true, net_dhcp };
	} else if (job->conf.how == GB_NET_STATIC) {
		steps[n++] = (struct net_step){ "address", 5000, true, net_address };
		steps[n++] = (struct net_step){ "routes", 5000, true, net_routes };
		steps[n++] = (struct net_step){ "resolver", 2000, false, net_resolver };
		steps[n++] = (struct net_step){ "facts", 2000, true, net_facts };
	}
	return n;
}

static void print_failed(const struct net_result *result)
{
	char text[NET_DETAIL + 32];

	(void)snprintf(text, sizeof text, "%s: %s", result->step, result->detail);
	if (result->state == NET_FAILED)
		gb_complain(text);
}

static void print_step(const struct net_result *result)
{
	if (result->state == NET_DONE)
		printf("%s: %s\n", result->step, result->detail);
	(void)fflush(stdout); /* the next may take its time */
	print_failed(result);
}

static int print_json(const struct net_job *job, int failed, struct gb_err *err)
{
	static const char *const methods[] = { "dhcp", "static", "off" };
	struct gb_json json = { 0 };

	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, "interface", job->nic.name[0] ? job->nic.name : NULL);
	gb_json_str(&json, "method", methods[job->conf.how]);
	gb_json_str(&json, "hostname", job->hostname);
	gb_json_open(&json, "steps", '[');
	for (int i = 0; i < job->results_len; i++) {
		const struct net_result *result = &job->results[i];
		if (result->state == NET_SKIPPED)
			continue;
		gb_json_open(&json, NULL, '{');
		gb_json_str(&json, "step", result->step);
		gb_json_str(&json, "detail", result->detail);
		gb_json_bool(&json, "done", result->state == NET_DONE);
		gb_json_uint(&json, "usec", result->usec);
		gb_json_close(&json, '}');
	}
	gb_json_close(&json, ']');
	gb_json_str(&json, "result", failed ? "failed" : job->no_interface ? "no-interface" : "done");
	gb_json_close(&json, '}');
	return gb_json_print(&json, err);
}

static int parse(struct gb_cmd *cmd, struct choice *choice, struct net_job *job, struct gb_optscan *scan, struct gb_err *err)
{
	uint64_t wait = WAIT_MS, lease = LEASE_MS;
	const char *etc = "/etc", *client = "", *script = "/lib/guestbox/udhcpc", *sys = "/sys/class/net";
	int key, r = 0;

	gb_opt_start(scan, opts, cmd->argc, cmd->argv, GB_OPT_STOP);
	while (r == 0 && (key = gb_opt_next(scan, err)) != 0) {
		switch (key) {
		case OPT_INTERFACE: choice->interface = scan->arg; break;
		case OPT_IP: choice->ip = scan->arg; break;
		case OPT_HOSTNAME: choice->hostname = scan->arg; break;
		case OPT_WAIT: r = gb_parse_seconds(scan->arg, "wait for the interface", MOST_MS, &wait, err); break;
		case OPT_LEASE: r = gb_parse_seconds(scan->arg, "wait for a lease", MOST_MS, &lease, err); break;
		case OPT_CLIENT: client = scan->arg; break;
		case OPT_SCRIPT: script = scan->arg; break;
		case OPT_ETC: etc = scan->arg; break;
		case OPT_SYS: sys = scan->arg; break;
		case OPT_DRY_RUN: choice->dry_run = true; break;
		case OPT_JSON: choice->json = true; break;
		default: return key;
		}
	}
	if (r < 0)
		return r;
	if (strlcpy(job->etc, etc, sizeof job->etc) >= sizeof job->etc ||
	    strlcpy(job->client, client, sizeof job->client) >= sizeof job->client ||
	    strlcpy(job->script, script, sizeof job->script) >= sizeof job->script ||
	    strlcpy(job->sys, sys, sizeof job->sys) >= sizeof job->sys)
		return gb_err_sys(err, ENAMETOOLONG, "command line");
	job->lease_ms = (unsigned)lease;
	job->carrier_ms = CARRIER_MS;
	job->wait_ms = (unsigned)wait;
	return 0;
}

/* Looks, and does nothing. */
static int dry_run(struct net_job *job, const struct net_step *steps, int count, struct gb_err *err)
{
	char detail[NET_DETAIL];

	for (int i = 0; i < count; i++) {
		if (steps[i].run == net_interface) {
			job->wait_ms = 0;
			int r = net_interface(job, detail, err);
			if (r < 0)
				return r;
			printf("interface: %s\n", detail);
		} else if (!steps[i].on_interface || job->index) {
			gb_autobuf struct gb_buf facts = { 0 };
			printf("%s%s%s\n", steps[i].name, steps[i].run == net_hostname ? ": " : "",
			       steps[i].run == net_hostname ? job->hostname[0] ? job->hostname : "as it is" : "");
			if (steps[i].run == net_address) {
				gb_net_facts(&job->conf, "static", &facts);
				(void)fputs(gb_buf_text(&facts), stdout);
			}
		}
	}
	return 0;
}

static int run(struct gb_cmd *cmd, struct gb_err *err)
{
	struct net_job *job = net_job_new();
	struct net_step steps[NET_STEPS_MAX];
	struct choice choice = { 0 };
	struct gb_optscan scan;

	if (!job)
		return gb_err_sys(err, ENOMEM, "memory");
	int r = parse(cmd, &choice, job, &scan, err);
	if (r < 0)
		return r;
	if (scan.index < scan.argc)
		return scan.index > 1 ? gb_err_set(err, GB_E_USAGE, "a verb stands in front of its options")
				      : gb_verb_run(cmd, scan.argc - scan.index, scan.argv + scan.index, err);
	r = choose(&choice, job, err);
	if (r < 0)
		return r;
	/* Who is not named is not waited for: a machine without a network boots on. */
	if (!job->wanted[0])
		job->wait_ms = 0;
	int count = plan(job, steps);
	if (choice.dry_run)
		return dry_run(job, steps, count, err);
	int failed = net_steps_run(job, steps, count, choice.json ? print_failed : print_step);
	if (choice.json && (r = print_json(job, failed, err)) < 0)
		return r;
	return failed ? gb_err_set(err, GB_E_SILENT, "failed") : 0;
}

static const struct gb_verb verbs[] = {
	{ "lease", "[--etc DIR] [--log TARGET] EVENT", "what udhcpc's script calls: apply or drop a lease",
	  net_lease_opts, net_run_lease, NULL },
	{ "renew", NULL, "let the DHCP clients renew their leases now", NULL, net_run_renew, NULL },
	{ 0 },
};

const struct gb_applet gb_applet_guest_net = {
	.name = "guest-net",
	.summary = "set up the guest's network: lo, the machine's interface, its address, names",
	.synopsis = "[--interface WHICH] [--ip SPEC] [--hostname NAME] [--dry-run] [--json] [OPTION]...\nlease [OPTION]... EVENT\nrenew",
	.opts = opts,
	.verbs = verbs,
	.run = run,
};
