/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: what its files share. */
#ifndef GB_RPCD_H
#define GB_RPCD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/loop/loop.h"
#include "common/loop/work.h"
#include "common/net/addr.h"
#include "common/proxy/relay.h"
#include "common/rpc/conn.h"
#include "common/rpc/wire.h"
#include "common/sys/respawn.h"

enum { RPCD_LISTEN_MAX = 16, RPCD_CID_MAX = 32, RPCD_ROOT_MAX = 16 };

struct rpcd;

/* An address that is served, or will be as soon as it can. */
struct rpcd_listener {
	struct rpcd *rpcd;
	struct gb_addr addr;
	char name[GB_ADDR_TEXT];
	struct gb_io io;        /* the listening socket; fd -1 while there is none */
	struct gb_timer timer;  /* the next try to bind, or the end of a pause of accept(2) */
	uint64_t pause;         /* milliseconds, growing */
	struct gb_conn *single; /* virtio, stdio: its one connection */
	bool proxy;             /* connections go to the target as they are, no frames */
	struct gb_addr target;
	char target_name[GB_ADDR_TEXT];
	bool target_told;       /* that the target does not answer is in the log */
	bool up, told;
	int failed;             /* the errno that was logged last */
};

struct rpcd {
	struct gb_loop loop;
	struct gb_conn_host host;
	struct rpcd_listener listeners[RPCD_LISTEN_MAX];
	int listeners_len;
	bool proxies_said; /* --proxy was given: no standard ones beside */
	TAILQ_HEAD(, gb_conn) conns;
	unsigned conns_len, conns_max;
	uint32_t cids[RPCD_CID_MAX]; /* who may call over vsock; VMADDR_CID_ANY: everyone */
	int cids_len;
	const char *roots[RPCD_ROOT_MAX]; /* below them files may be read */
	int roots_len;
	struct gb_pool pool;
	const char *runtime_dir;     /* where dockerd and containerd are */
	struct rpcd_services *services;
	struct gb_respawn restart;   /* how often a daemon is started again by itself */
	uint64_t log_max;            /* bytes of a daemon's log before it is put aside */
	struct gb_relays relays;
	TAILQ_HEAD(, rpcd_session) sessions; /* of the proxies */
	unsigned sessions_len, sessions_max;
	uint64_t proxy_wait;                 /* what a target has to come up, in milliseconds */
	uint64_t trim_ms;            /* between two trims by itself; 0: none */
	struct gb_timer trim_timer;
	struct gb_io trim_mounts;    /* until something is mounted that can be trimmed */
	int notify_fd;
	uint64_t begun; /* ns: for the boot's timeline */
	bool notified, stopping;
	bool going_down, shutdown_wanted; /* a power-off was accepted; its reply is still on the way */
	unsigned shutdown_ms;
	struct gb_timer shutdown_timer;
	struct gb_timer stop_timer;
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

/* The handlers, one a type or family. Each replies exactly once: now, or after gb_conn_hold(). */
rpcd_fn rpcd_ping, rpcd_info, rpcd_runtime_ensure, rpcd_runtime_status, rpcd_shutdown, rpcd_mmap, rpcd_trim, rpcd_timeline,
	rpcd_sandbox,
	rpcd_unavailable;

/* A request whose work may block. run() is called in a thread and touches nothing but the job; finish() in the loop, with
 * call NULL when nobody waits for the reply any more; it replies, and releases what its job holds. */
struct rpcd_job {
	struct gb_work work;
	struct rpcd *rpcd;
	struct gb_conn *conn;
	uint32_t type, reply;
	unsigned char *trace;
	size_t trace_len;
	int failed; /* an errno: it could not even be started */
	void (*run)(struct rpcd_job *job);
	void (*finish)(struct rpcd_job *job, const struct rpcd_call *call);
};

/* Starts it; job is the first member of malloc'ed memory, which is freed after finish(). run and finish are set. */
void rpcd_job_start(struct rpcd_call *call, struct rpcd_job *job);
/* The same without anybody who waits: finish() gets no call. */
void rpcd_job_background(struct rpcd *rpcd, struct rpcd_job *job);
/* The connection is gone. */
void rpcd_job_forget(struct gb_conn *conn);

/* Replies with a message of the request's reply type, or with an Error frame. */
void rpcd_reply(const struct rpcd_call *call, const ProtobufCMessage *message);
void rpcd_error(const struct rpcd_call *call, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A frame has come in. */
void rpcd_dispatch(struct gb_conn *conn, const struct gb_frame *frame);

/* Starts to serve all addresses; those that cannot be had yet are tried again. 0 or -errno with err set. */
int rpcd_listen(struct rpcd *rpcd, struct gb_err *err);
/* Ends listening; connections go on. */
void rpcd_unlisten(struct rpcd *rpcd);

/* Trims by itself, once something is mounted and then every trim_ms. */
void rpcd_trim_begin(struct rpcd *rpcd);

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

#endif
