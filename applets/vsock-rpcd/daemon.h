/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: one of the runtime's daemons, as services.c keeps it running and watch.c looks at it. */
#ifndef GB_RPCD_DAEMON_H
#define GB_RPCD_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "applets/vsock-rpcd/services.h"

enum { RPCD_PROBE_FIRST_MS = 20 }; /* the first look at a daemon that starts: the fall-back beside inotify */

enum rpcd_daemon_state { DOWN, LAUNCHING, STARTING, UP, PAUSE };

struct rpcd_daemon {
	struct rpcd *rpcd;
	enum rpcd_service id;
	enum rpcd_daemon_state state;
	bool wanted;
	bool failed;          /* and is not tried again by itself */
	bool ever_up;         /* since it was asked for: an end is an accident then, and else a failed start */
	bool late;
	struct gb_child child;
	uint64_t start;       /* of the process */
	uint64_t begun, up_at, ended_at; /* ms of the loop's clock */
	uint64_t not_before;  /* ms */
	unsigned row;         /* ends in a row */
	unsigned restarts;
	struct gb_respawn limit;
	struct gb_timer timer;
	uint64_t pause;       /* ms to the next look */
	bool asking, ask_again;
	uint64_t asked_at;
	int watch;            /* inotify */
	unsigned holds;
	struct rpcd_launch_job *launching;
	char failure[512];
};

struct rpcd_services {
	struct rpcd *rpcd;
	struct rpcd_daemon list[RPCD_SERVICES];
	unsigned needs;       /* of containerd alone */
	bool preparing, prepared;
	char notes[768];      /* of the last preparation */
	struct gb_io inotify;
};

static inline const char *rpcd_daemon_name(const struct rpcd_daemon *service)
{
	return rpcd_service_name(service->id);
}

static inline bool rpcd_daemon_alive(const struct rpcd_daemon *service)
{
	return service->child.io.loop != NULL;
}

/* Asks it how it is, beside the loop; what it answers brings its state up to date. */
void rpcd_daemon_ask(struct rpcd_daemon *service);
/* It has answered. */
void rpcd_daemon_came_up(struct rpcd_daemon *service);
/* Its folder exists by now: the socket that appears there is noticed. */
void rpcd_daemon_watch(struct rpcd_services *all, struct rpcd_daemon *service);
/* Of inotify: a socket may have appeared. */
void rpcd_daemon_appeared(struct gb_io *io, uint32_t events);

/* Brings what is closer to what is wanted; called after every event. */
void rpcd_services_reconcile(struct rpcd_services *all);

#endif
