/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the daemons of the container runtime, and what keeps them running. */
#ifndef GB_RPCD_SERVICES_H
#define GB_RPCD_SERVICES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/sys/respawn.h"

struct rpcd;

enum rpcd_service { RPCD_CONTAINERD, RPCD_DOCKERD, RPCD_K3S, RPCD_SERVICES };

/* Records of the daemons' processes and the FIFOs of their output; only root's. */
#define RPCD_STATE_DIR "/run/guestbox/daemons"

#define RPCD_DOCKER_SOCKET "/var/run/docker.sock"
#define RPCD_CONTAINERD_SOCKET "/run/containerd/containerd.sock"
#define RPCD_K3S_PID "/run/arcbox/k3s.pid"
#define RPCD_K3S_DATA "/var/lib/rancher/k3s"
#define RPCD_K3S_CONFIG RPCD_K3S_DATA "/k3s.yaml"

/* ---- in the loop (services.c) ---- */

/* Finds those that run already, and watches them: the daemon may have been ended and started again. 0 or -errno. */
int rpcd_services_open(struct rpcd *rpcd, const struct gb_respawn *limit);
void rpcd_services_close(struct rpcd *rpcd);

/* dockerd or k3s is to run: it is started, with what it needs, and kept running. answers: it has just been seen to. */
void rpcd_service_want(struct rpcd *rpcd, enum rpcd_service id, bool answers);
/* A request whose look at it began at since (ms of the loop's clock) has seen it answer, and its host is about to hear that: if
 * it ends now that is an end, and no start that failed. */
void rpcd_service_seen(struct rpcd *rpcd, enum rpcd_service id, uint64_t since);
/* containerd is needed for a while (+1), or no more (-1). */
void rpcd_service_need(struct rpcd *rpcd, int change);

/* A service is not wanted any more. While it is held (+1) nothing starts it; its end is the caller's to bring about. */
void rpcd_service_drop(struct rpcd *rpcd, enum rpcd_service id);
void rpcd_service_hold(struct rpcd *rpcd, enum rpcd_service id, int change);

struct rpcd_service_state {
	bool running; /* its process is there */
	bool up;      /* it has answered; nothing to the contrary has been heard */
	bool wanted, failed;
	int pid;
	uint64_t start; /* of the process, as in gb_proc */
};
struct rpcd_service_state rpcd_service_state(const struct rpcd *rpcd, enum rpcd_service id);

/* What there is to say about it and what it needs: a start in progress, how the last one failed, restarts; "" if nothing.
 * Appended to text, with "; " in front. */
void rpcd_service_text(const struct rpcd *rpcd, enum rpcd_service id, char *text, size_t size);

/* Asks it how it is, beside the loop, unless that was done within the last ms. */
void rpcd_service_check(struct rpcd *rpcd, enum rpcd_service id, unsigned ms);

/* No start any more: the machine is on its way down. */
bool rpcd_going_down(const struct rpcd *rpcd);

/* ---- blocking, for threads (start.c) ---- */

/* RPCD_STATE_DIR, for root alone: 0 or -errno. */
int rpcd_state_dir(void);

/* What all of them need: prerequisites, data disk, folders, configuration. text tells what was noted and why it failed. */
bool rpcd_prepare(const char *dir, char *text, size_t size);

struct rpcd_started {
	int pid;      /* or -errno */
	uint64_t start;
	bool found;   /* it ran already */
	char text[512];
};

/* Whether programs are missing that it needs; text names them all. */
bool rpcd_missing(const char *dir, enum rpcd_service id, char *text, size_t size);

/* Starts one, or finds the one that holds its socket; find: only that. */
void rpcd_launch(const char *dir, enum rpcd_service id, bool find, const atomic_bool *cancelled,
		 struct rpcd_started *started);
/* While one is locked nobody launches it. */
void rpcd_launch_lock(enum rpcd_service id, bool lock);
/* How often containerd could not be had: whoever waits for it need not go on when this changes. */
unsigned rpcd_containerd_failures(void);

/* One that an earlier daemon left: 0; -ESRCH when it has ended meanwhile; -ENOENT when there was none. */
int rpcd_find(enum rpcd_service id, struct rpcd_started *found);
/* Nothing is to be found any more. */
void rpcd_forget(enum rpcd_service id);

const char *rpcd_service_name(enum rpcd_service id);

/* The environment of what is started: ours, with the runtime's programs first on PATH. NULL: no memory. */
char **rpcd_environment(const char *dir);
void rpcd_environment_free(char **env);
static inline void rpcd_environment_end(char ***env)
{
	rpcd_environment_free(*env);
}

/* ---- the daemons' output (logs.c) ---- */

void rpcd_logs_open(uint64_t max);
/* Writes out what is there, for a second at most. */
void rpcd_logs_close(void);
/* A descriptor for a daemon's output; from then on it is read. Thread-safe. -errno. */
int rpcd_log_pipe(const char *name);

#endif
