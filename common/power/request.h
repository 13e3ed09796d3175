/* SPDX-License-Identifier: MIT */
/* Asking for a power-off: of PID 1, or begun here; at most one is ever under way. */
#ifndef GB_POWER_REQUEST_H
#define GB_POWER_REQUEST_H

#include <sys/types.h>

#include "common/power/run.h"

enum { GB_POWER_BEGUN = 0, GB_POWER_JOINED = 1 };

/*
 * The daemon's call. Asks PID 1 where PID 1 does this itself (guest-init, busybox init, systemd), else runs the sequence
 * in a process of its own, which lives on when the caller is ended. Does not wait: send the reply first. grace_ms: 0
 * stands for the default (25 s); what is longer than the host waits is cut. GB_POWER_BEGUN; GB_POWER_JOINED when one is
 * under way already, which goes on as it was asked for; or -errno with err.
 */
int gb_power_request(enum gb_power_action action, unsigned grace_ms, struct gb_err *err);

/* PID 1's own: takes the latch and begins the sequence in a child. Needs no memory from malloc(3) on this side of the
 * fork. The child's PID; -EALREADY when one is under way; or the errno of fork(2). Does not ask gb_power_allowed(). */
pid_t gb_power_begin(enum gb_power_action action, unsigned grace_ms, struct gb_err *err);

/* Whether this process could bring the action to its end, asked before anything is ended for it: 0; -EPERM without
 * CAP_SYS_BOOT; -GB_E_REFUSED when there is no kernel to go on with. */
int gb_power_allowed(enum gb_power_action action, struct gb_err *err);

/* Whether a power-off is under way: nothing new should be started. */
bool gb_power_pending(void);

/* Takes the latch for this process and its children: a descriptor to be kept open, -EALREADY when another has it (err
 * says who), or another -errno when there can be no latch (a full or read-only /run), which must not stop a power-off. */
int gb_power_latch(struct gb_err *err);

/* Turns the calling process into one that can end all others: out of its caller's session, away from every file system,
 * no signal but SIGKILL ends it, the last one for the OOM killer, log lines to the kernel's log (in a PID namespace: to
 * stderr, which then stays open). Descriptors above 2 are closed, but for `keep` and `keep2` (-1: none). */
void gb_power_detach(int keep, int keep2, bool own_session);

/* Who PID 1 is to a power-off. Pure but for its arguments. */
enum gb_power_init {
	GB_POWER_INIT_NONE,    /* knows nothing of it: the sequence is ours to run */
	GB_POWER_INIT_GUEST,   /* guest-init: the signal's value carries action and grace */
	GB_POWER_INIT_BUSYBOX, /* SIGUSR1 halt, SIGUSR2 power off, SIGTERM reboot */
	GB_POWER_INIT_SYSTEMD, /* SIGRTMIN+3 to +6 */
};
enum gb_power_init gb_power_init_of(const char *comm, const char *exe);

/* The signal that asks for an action, or 0 when that kind of init has none for it. */
int gb_power_signal(enum gb_power_init init, enum gb_power_action action);

/* Action and grace in one sigqueue(3) value, and back: 0, or -EINVAL for a value that none of ours made. */
int gb_power_pack(enum gb_power_action action, unsigned grace_ms);
int gb_power_unpack(int value, enum gb_power_action *ret_action, unsigned *ret_grace_ms);

#endif
