/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: what its files share. */
#ifndef GB_RPCD_H
#define GB_RPCD_H

#include <stdbool.h>
#include <stdint.h>

#include "applets/vsock-rpcd/link.h"
#include "common/loop/loop.h"
#include "common/loop/work.h"
#include "common/net/addr.h"
#include "common/proxy/relay.h"
#include "common/rpc/conn.h"
#include "common/rpc/policy.h"
#include "common/rpc/wire.h"
#include "common/sys/logfile.h"
#include "common/sys/respawn.h"

enum { RPCD_LISTEN_MAX = 16, RPCD_CID_MAX = 32, RPCD_ROOT_MAX = 16 };

struct rpcd;

/*
 * The daemon is two processes. The front takes calls, reads what peers send, checks it, and has no rights at all; the
 * helper, its parent, has those that the handlers need, and gets frames from the front that have been checked. Each has a
 * struct rpcd of its own; where they differ it says so.
 */

/* An address that is served, or will be as soon as it can. The helper opens it, the front accepts and serves. */
struct rpcd_listener {
	struct rpcd *rpcd;
	struct gb_addr addr;
	char name[GB_ADDR_TEXT];
	struct gb_io io;        /* the listening socket; fd -1 while there is none */
	struct gb_timer timer;  /* helper: the next try to bind; front: the end of a pause of accept(2) */
	uint64_t pause;         /* milliseconds, growing */
	int rfd, wfd;           /* virtio, stdio: open, and on their way to the front; else -1 */
	enum gb_conn_kind kind; /* of those */
	struct gb_conn *single; /* front; virtio, stdio: its one connection */
	bool proxy;             /* connections go to the target as they are, no frames */
	struct gb_addr target;
	char target_name[GB_ADDR_TEXT];
	bool target_told;       /* that the target does not answer is in the log */
	bool up, told;
	int failed;             /* the errno that was logged last */
};

/* A connection: in the front of a peer, in the helper of the front, with that peer's requests. */
struct rpcd_client {
	struct gb_conn conn; /* first */
	uint32_t id;         /* the same in both processes */
	struct gb_io channel; /* front: to the helper, from the first request on that it is needed for; fd -1 before that */
	struct gb_buf pending; /* front: frames that the channel has no room for; nothing more is read meanwhile */
	size_t pending_at;
	bool shut;    /* front: the helper has been told that no more comes */
	bool deliver; /* front: the helper waits to hear that all has been taken */
};

struct rpcd {
	struct gb_loop loop;
	struct rpcd_link link; /* to the other process */
	bool front;            /* this is the front */
	struct gb_child child; /* helper: the front; pid 0 while there is none */
	uint64_t restart_since;
	unsigned restarts;
	struct gb_policy policy;
	char policy_file[128]; /* where it was read from, for Error frames */
	uid_t uid; /* who started the daemon */
	void (*delivered)(struct rpcd *rpcd); /* helper: called once when client deliver_id has its replies, or is gone */
	uint32_t deliver_id;
	int deliver_rounds;
	uint32_t last_id;
	TAILQ_HEAD(, rpcd_session) asking; /* front: wait for a descriptor of the helper's, in this order */
	struct gb_conn_host host;
	uint64_t idle_ms, frame_ms; /* what peers may take; the front sees to it */
	struct rpcd_listener listeners[RPCD_LISTEN_MAX];
	int listeners_len;
	bool proxies_said; /* --proxy was given: no standard ones beside */
	TAILQ_HEAD(, gb_conn) conns;
	unsigned conns_len, conns_max;
	uint32_t cids[RPCD_CID_MAX]; /* who may call over vsock; VMADDR_CID_ANY: everyone */
	int cids_len;
	STAILQ_HEAD(, rpcd_mmap_job) mmaps; /* reads that wait for their turn */
	unsigned mmaps_running, mmaps_late;
	const char *roots[RPCD_ROOT_MAX]; /* below them files may be read */
	int roots_len;
	struct gb_pool pool;
	const char *sandbox_dir;     /* NULL: on the data disk, or /var/lib/arcbox/sandboxes */
	const char *runtime_dir;     /* where dockerd and containerd are */
	struct rpcd_services *services;
	struct gb_respawn restart;   /* how often a daemon is started again by itself */
	uint64_t log_max;            /* bytes of a log before it is put aside */
	struct gb_logfile log;       /* helper: our own, when it is a file; the path is empty else */
	struct gb_timer log_timer;
	struct gb_relays relays;
	TAILQ_HEAD(, rpcd_session) sessions; /* of the proxies */
	unsigned sessions_len, sessions_max;
	uint64_t proxy_wait;                 /* what a target has to come up, in milliseconds */
	uint64_t trim_ms;            /* between two trims by itself; 0: none */
	struct gb_timer trim_timer;
	struct gb_io trim_mounts;    /* until something is mounted that can be trimmed */
	int notify_fd;
	uint64_t opened; /* ms: when the addresses were first tried */
	uint64_t begun; /* ns: for the boot's timeline */
	bool notified, stopping;
	bool going_down, shutdown_wanted; /* a power-off was accepted; its reply is still on the way */
	unsigned shutdown_ms;
	struct gb_timer shutdown_timer;
	struct gb_timer stop_timer, gone_timer;
	struct gb_io clock_set;  /* of the front: somebody set the clock (resume.c) */
	int64_t clock_offset;
	int failed; /* a listener's last error, when nothing is served any more */
};

/* One request on its way through a handler. */
struct rpcd_call {
	struct rpcd *rpcd;
	struct gb_conn *conn;
	uint32_t type, reply;
	const unsigned char *trace; /* valid until the handler returns */
	size_t trace_len;
	const ProtobufCMessage *request; /* decoded and checked; NULL for types without a message */
};

typedef void rpcd_fn(struct rpcd_call *call);

/* In the front: watches for the end of a pause of the machine. */
void rpcd_resume_watch(struct rpcd *rpcd);

/* The handlers, one a type or family. Each replies exactly once: now, or after gb_conn_hold(). */
rpcd_fn rpcd_ping, rpcd_info, rpcd_runtime_ensure, rpcd_runtime_status, rpcd_shutdown, rpcd_mmap, rpcd_trim, rpcd_timeline,
	rpcd_k8s_start, rpcd_k8s_stop_request, rpcd_k8s_delete_request, rpcd_k8s_status, rpcd_k8s_config,
	rpcd_sandbox_create, rpcd_sandbox_stop, rpcd_sandbox_remove, rpcd_sandbox_inspect, rpcd_sandbox_list, rpcd_sandbox_run,
	rpcd_sandbox_exec, rpcd_sandbox_events, rpcd_sandbox_checkpoint, rpcd_sandbox_restore, rpcd_sandbox_list_snapshots,
	rpcd_sandbox_delete_snapshot,
	rpcd_image_import, rpcd_image_list, rpcd_image_remove, rpcd_unavailable;

/* A request whose work may block. run() is called in a thread and touches nothing but the job; finish() in the loop, with
 * call NULL when nobody waits for the reply any more; it replies, and releases what its job holds. */
struct rpcd_job;
typedef void rpcd_run_fn(struct rpcd_job *job);
typedef void rpcd_finish_fn(struct rpcd_job *job, const struct rpcd_call *call);
struct rpcd_job {
	struct gb_work work;
	struct rpcd *rpcd;
	struct gb_conn *conn;
	uint32_t type, reply;
	unsigned char *trace;
	size_t trace_len;
	int failed; /* an errno: it could not even be started */
	bool again; /* finish() sets it: this was not the end, rpcd_job_go() follows */
	rpcd_run_fn *run;
	rpcd_finish_fn *finish;
	void (*late)(struct rpcd_job *job); /* in the loop, when run() takes long (work.h); may be NULL */
};

/* One of size bytes, of which the job is the first member, the rest zero. NULL: out of memory, and replied so. */
void *rpcd_job_new(struct rpcd_call *call, size_t size, rpcd_run_fn *run, rpcd_finish_fn *finish);
/* Starts it; it is freed after finish(). */
void rpcd_job_start(struct rpcd_call *call, struct rpcd_job *job);
/* In two steps: the request is held, and its work waits for rpcd_job_go(). false: out of memory, nothing is held and the
 * job is still the caller's. */
bool rpcd_job_hold(struct rpcd_call *call, struct rpcd_job *job);
void rpcd_job_go(struct rpcd_job *job);
/* The same without anybody who waits: finish() gets no call. */
void rpcd_job_background(struct rpcd *rpcd, struct rpcd_job *job);
/* Without any work: the call is held, and answered with rpcd_job_call() (conn NULL: nobody waits) and gb_conn_resume();
 * job->trace is then the caller's to free. 0 or -ENOMEM. */
int rpcd_job_wait(struct rpcd_call *call, struct rpcd_job *job);
struct rpcd_call rpcd_job_call(struct rpcd_job *job);
/* The connection is gone. */
void rpcd_job_forget(struct gb_conn *conn);
/* Its request has been answered although run() goes on: finish() gets no call. */
void rpcd_job_give_up(struct rpcd_job *job);

/* Replies with a message of the request's reply type, or with an Error frame. */
void rpcd_reply(const struct rpcd_call *call, const ProtobufCMessage *message);
void rpcd_error(const struct rpcd_call *call, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Whether a frame is a request whose payload can be decoded: 0, or -EBADMSG with the Error frame's text in err. */
int rpcd_check(const struct gb_frame *frame, struct gb_err *err);
/* Helper: a frame has come in. */
void rpcd_dispatch(struct gb_conn *conn, const struct gb_frame *frame);

/* Sandboxes that outlived the daemon before this one are found again (sandbox.c). */
void rpcd_sandbox_open(struct rpcd *rpcd);

/* A new connection, first in conns; 0 bytes of it are read yet. NULL: out of memory. */
struct rpcd_client *rpcd_client_new(struct rpcd *rpcd, enum gb_conn_kind kind, const char *name);
void rpcd_client_free(struct rpcd_client *client);
static inline struct rpcd_client *rpcd_client_of(struct gb_conn *conn)
{
	return (struct rpcd_client *)conn;
}

/* Counts the listener behind the last one, whose address was written as text: 0, or -GB_E_USAGE when it is there already. */
int rpcd_listener_add(struct rpcd *rpcd, const char *text, struct gb_err *err);
/* Helper: opens all addresses; those that cannot be had yet are tried again. 0 or -errno with err set. */
int rpcd_listen(struct rpcd *rpcd, struct gb_err *err);
/* The port of this listener is to be opened anew. */
void rpcd_reopen(struct rpcd_listener *listener);
/* Says that every address is served, if it is. */
void rpcd_tell_ready(struct rpcd *rpcd);
/* Ends listening; connections go on. */
void rpcd_unlisten(struct rpcd *rpcd);

/* Trims by itself, once something is mounted and then every trim_ms. */
void rpcd_trim_begin(struct rpcd *rpcd);
/* Begins mapped reads that wait, as many as may be under way. */
void rpcd_mmap_next(struct rpcd *rpcd);

/* Helper: serves until told to end. 0 or -errno with err set. */
int rpcd_helper_run(struct rpcd *rpcd, struct gb_err *err);
/* SIGTERM and SIGINT. */
void rpcd_helper_finish(struct rpcd *rpcd);
/* Hands what a listener has opened to the front. */
void rpcd_helper_hand(struct rpcd_listener *listener);
/* Calls fn once when the peer of this connection has taken all replies so far, or is gone. One wish at a time. */
void rpcd_when_delivered(struct gb_conn *conn, void (*fn)(struct rpcd *rpcd));

/* What makes a struct rpcd, with its options, one or the other: the calls of its connections and of its link, whose
 * descriptor is still to be opened. */
void rpcd_helper_prepare(struct rpcd *rpcd);
void rpcd_front_prepare(struct rpcd *rpcd);

/* The front, in a process of its own, to its end: its exit status. */
int rpcd_front_run(struct rpcd *rpcd, int link);
enum { RPCD_FRONT_UNFIT = 3 }; /* exit status: it could not even begin */

/* The proxies (proxy.c). "FROM=TO", "docker", "kubernetes" or "none": 0 or -GB_E_USAGE. */
int rpcd_proxy_add(struct rpcd *rpcd, const char *text, struct gb_err *err);
/* The standard ones, when nothing was said about proxies and vsock is served. */
int rpcd_proxy_defaults(struct rpcd *rpcd, struct gb_err *err);
/* Before and after the loop runs: 0 or -errno with err set. */
int rpcd_proxy_open(struct rpcd *rpcd, struct gb_err *err);
void rpcd_proxy_close(struct rpcd *rpcd);
/* Whether dockerd's vsock port is served: RPCD_PORT_NONE, nobody was told to; _WAITS, not bound yet. */
enum rpcd_port { RPCD_PORT_NONE, RPCD_PORT_WAITS, RPCD_PORT_UP };
enum rpcd_port rpcd_proxy_port(const struct rpcd *rpcd, uint32_t port);
/* The vsock port that dockerd is served on: from the environment or the kernel command line, else 2375. */
uint32_t rpcd_docker_port(void);
/* Front: the helper's answer to RPCD_DIAL. */
void rpcd_proxy_dialled(struct rpcd *rpcd, int code, int fd);
/* A caller who may; takes the descriptor. */
void rpcd_proxy_accept(struct rpcd_listener *listener, int fd, const char *name);

static inline struct rpcd *rpcd_of(struct gb_conn *conn)
{
	return (struct rpcd *)((char *)conn->host - offsetof(struct rpcd, host));
}

/* Whether a Ping's time may be taken, by the clock as it is now (all Unix seconds). */
enum rpcd_clock { RPCD_CLOCK_KEEP, RPCD_CLOCK_STEP, RPCD_CLOCK_REFUSE };
enum rpcd_clock rpcd_clock_judge(int64_t now, int64_t wanted);
/* A clock that stands before any guest could have been built is set to that time: 0, or -errno with the reason in why. */
int rpcd_clock_floor(char *why, size_t size);
/* Whether this Ping has to set the clock. */
bool rpcd_ping_steps(const ProtobufCMessage *request);

#endif
