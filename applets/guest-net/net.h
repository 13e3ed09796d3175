/* SPDX-License-Identifier: MIT */
/* guest-net: what its files share. */
#ifndef GB_GUEST_NET_H
#define GB_GUEST_NET_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "applets/applet.h"
#include "common/net/conf.h"
#include "common/net/nic.h"

#define NET_STATE "/run/guestbox/net" /* the facts of each interface, and its client's lock */

enum { NET_STEPS_MAX = 12, NET_DETAIL = 320, NET_PATH = 1024 };

enum net_state { NET_WAITING, NET_DONE, NET_FAILED, NET_SKIPPED };

struct net_result {
	const char *step;
	enum net_state state;
	uint64_t usec;
	char detail[NET_DETAIL];
};

/* One run. It lies in memory that is shared with the process that does the steps. */
struct net_job {
	struct gb_net_conf conf;
	char wanted[64];             /* interface: a name or a MAC address; "" for the primary one */
	char hostname[GB_NET_NAME];
	bool hostname_said;          /* by somebody who means this machine, so that it is set in any case */
	char etc[NET_PATH], client[NET_PATH], script[NET_PATH], sys[NET_PATH];
	unsigned wait_ms, carrier_ms, lease_ms;
	struct gb_nic nic;
	unsigned index;              /* of the interface; 0: none (yet) */
	bool no_interface;           /* there is none, which is no failure */
	struct net_result results[NET_STEPS_MAX];
	int results_len;
};

struct net_step {
	const char *name;
	unsigned limit_ms;
	bool on_interface; /* left out without one */
	int (*run)(struct net_job *job, char detail[NET_DETAIL], struct gb_err *err);
};

/* Memory for a job, or NULL. */
struct net_job *net_job_new(void);

/* Does the steps in a process of its own, each within its limit: one that takes longer is given up and the next is begun.
 * report is called for each as it ends. The number of those that failed. */
int net_steps_run(struct net_job *job, const struct net_step *steps, int count, void (*report)(const struct net_result *r));

/* The steps (work.c). */
int net_loopback(struct net_job *job, char *detail, struct gb_err *err);
int net_hostname(struct net_job *job, char *detail, struct gb_err *err);
int net_hosts(struct net_job *job, char *detail, struct gb_err *err);
int net_interface(struct net_job *job, char *detail, struct gb_err *err);
int net_link(struct net_job *job, char *detail, struct gb_err *err);
int net_address(struct net_job *job, char *detail, struct gb_err *err);
int net_routes(struct net_job *job, char *detail, struct gb_err *err);
int net_resolver(struct net_job *job, char *detail, struct gb_err *err);
int net_facts(struct net_job *job, char *detail, struct gb_err *err);
/* dhcp.c */
int net_dhcp(struct net_job *job, char *detail, struct gb_err *err);

/* The name that a machine has when nobody gave it one. */
bool net_is_no_name(const char *name);

/* Writes a file whole or not at all. */
int net_put_file(const char *path, const struct gb_buf *text, struct gb_err *err);

/* The verbs. */
gb_run_fn net_run_lease, net_run_renew;
extern const struct gb_opt net_lease_opts[];

#endif
