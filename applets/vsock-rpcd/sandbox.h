/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: sandboxes, what their files share. All of it lives in the loop's thread; tasks work on copies. */
#ifndef GB_RPCD_SANDBOX_H
#define GB_RPCD_SANDBOX_H

#include "applets/vsock-rpcd/rpcd.h"
#include "common/sandbox/numbers.h"
#include "common/sandbox/exec.h"
#include "common/sandbox/orders.h"
#include "common/sandbox/spec.h"
#include "common/sandbox/store.h"

typedef Guestbox__Sandbox__Record rpcd_record;
typedef Guestbox__Sandbox__Snapshot rpcd_snapshot;

enum rpcd_state { RPCD_STARTING, RPCD_READY, RPCD_RUNNING, RPCD_STOPPING, RPCD_STOPPED, RPCD_FAILED };

struct rpcd_command;
struct rpcd_clean;

/* A request that is answered later. */
struct rpcd_waiter {
	struct rpcd_job job; /* its connection and trace id; the rest is not used */
	STAILQ_ENTRY(rpcd_waiter) link;
};
STAILQ_HEAD(rpcd_waiters, rpcd_waiter);

struct rpcd_box {
	struct rpcd_sandboxes *all;
	rpcd_record *record;
	enum rpcd_state state;
	struct gb_io life;      /* a pidfd of its PID 1; fd -1 */
	struct gb_io says;      /* what PID 1 says; fd -1 */
	unsigned words;         /* reads of that */
	int end_status;         /* that it has said; -1 */
	int orders;             /* its PID 1 can still be told a first command by it; -1 */
	int left;               /* the end of its boot's mount namespace: for a thread to close; -1 */
	_Atomic(struct gb_sandbox_first *) *offer; /* while it starts: a command to start with; NULL: none can be */
	struct gb_timer ttl;    /* of this instance: another one of the same id has its own */
	struct gb_timer patience; /* of a stop */
	struct rpcd_command *session; /* who has claimed it for a command */
	bool ended;             /* its first process is gone */
	bool claimed;           /* for a checkpoint */
	bool task;              /* a thread is at work on its container or files */
	bool stuck;             /* and has been for so long, with its start, that it has failed */
	bool addressed, slotted; /* it holds numbers of the pools: each is given back once */
	bool removing;
	bool clean_wanted;      /* once the start of a command is through */
	struct rpcd_clean *clean; /* the task of its end, which is not to fail for want of memory: one at a time */
	enum rpcd_state synced_state; /* that the disk has for certain */
	bool synced;
	bool saving, dirty;     /* its record is on the way to the disk; and is out of date again */
	uint64_t execs;
	struct rpcd_waiters stops, removes, starts;
	TAILQ_ENTRY(rpcd_box) link;
};

struct rpcd_snap {
	rpcd_snapshot *snapshot;
	unsigned used; /* tasks that read it */
	bool going;
	TAILQ_ENTRY(rpcd_snap) link;
};

struct rpcd_subscriber {
	struct rpcd_sandboxes *all;
	struct gb_conn *conn;
	unsigned char *trace;
	size_t trace_len;
	char *id, *action;
	bool behind;
	TAILQ_ENTRY(rpcd_subscriber) link;
};

struct rpcd_sandboxes {
	struct rpcd *rpcd;
	struct gb_loop *loop;
	struct gb_pool pool;
	struct gb_sandbox_place place;
	bool open, pool_open, told;
	bool look_again;        /* the runtime may be somewhere else */
	unsigned checks_late;   /* creates whose paths lead to file systems that do not answer */
	TAILQ_HEAD(, rpcd_box) boxes;
	TAILQ_HEAD(, rpcd_snap) snaps; /* oldest first */
	TAILQ_HEAD(, rpcd_subscriber) subscribers;
	struct gb_numbers slots, addresses;
	unsigned char scratch[65536]; /* one read(2) of a command's output */
};

/* ---- sandbox-task.c ---- */

extern const char *const rpcd_state_name[];

struct rpcd_box *rpcd_box_find(struct rpcd_sandboxes *all, const char *id);
/* The same, or NULL after an Error frame 400 or 404. */
struct rpcd_box *rpcd_box_named(struct rpcd_sandboxes *all, struct rpcd_call *call, const char *id);
/* Error 412: the request needs another state. */
void rpcd_wrong_state(struct rpcd_call *call, const struct rpcd_box *box, const char *what);
/* An errno as the code of an Error frame. */
int rpcd_code(int error);

/* A copy by way of the wire: NULL when out of memory. */
void *rpcd_copy(const void *message);
void rpcd_set_text(char **field, const char *text);

/* Answers later: NULL (out of memory) after an Error frame. */
struct rpcd_waiter *rpcd_wait(struct rpcd_call *call);
/* The call to answer a waiter with; NULL when nobody waits any more. Then rpcd_wait_end() releases it. */
const struct rpcd_call *rpcd_wait_call(struct rpcd_waiter *waiter, struct rpcd_call *call);
void rpcd_wait_end(struct rpcd_waiter *waiter);
/* Answers all: with nothing but the reply's type, or with an error. */
void rpcd_answer(struct rpcd_waiters *waiters, int code, const char *text);

/* A task for a thread. It is malloc'ed and freed by done(), which is called in the loop. */
struct rpcd_task {
	struct gb_work work;
	struct rpcd_sandboxes *all;
	int result;
	struct gb_err err;
	void (*run)(struct rpcd_task *task);
	void (*done)(struct rpcd_task *task);
	void (*late)(struct rpcd_task *task); /* in the loop, when run() takes long (work.h); may be NULL */
};
void rpcd_task_start(struct rpcd_sandboxes *all, struct rpcd_task *task);

/* ---- sandbox-box.c ---- */

/* A new box for a record, which is taken over; numbers are claimed for it when they are not yet. */
struct rpcd_box *rpcd_box_new(struct rpcd_sandboxes *all, rpcd_record *record, enum rpcd_state state);
void rpcd_box_free(struct rpcd_box *box);
/* What a create or restore claims for its record: 0, or -ENOSPC after an Error frame. */
int rpcd_record_number(struct rpcd_sandboxes *all, const struct rpcd_call *call, rpcd_record *record, bool network);
/* Frees one that has numbers, which are free again then, and no box. */
void rpcd_record_drop(struct rpcd_sandboxes *all, rpcd_record *record);
/* Its record is written, off the loop. */
void rpcd_box_save(struct rpcd_box *box);
/* The pid's descriptor is watched from here on: 0 or -errno. */
int rpcd_box_watch(struct rpcd_box *box);
/* And what PID 1 says. */
int rpcd_box_listen(struct rpcd_box *box);
/* Its first process is gone. */
void rpcd_box_ended(struct rpcd_box *box);
/* What is left of its container goes; of one that is being removed, its files too. */
void rpcd_box_clean(struct rpcd_box *box);
/* Every process is asked to end; in so many seconds they are killed. */
void rpcd_box_stop(struct rpcd_box *box, unsigned seconds);
void rpcd_box_kill(struct rpcd_box *box);
void rpcd_box_remove(struct rpcd_box *box, bool force);
/* Its removal: seconds from now (0: never), or when its record says. */
void rpcd_box_expire_in(struct rpcd_box *box, uint32_t seconds);
void rpcd_box_expire_at(struct rpcd_box *box);
/* A command has ended: back to ready, with its exit status. */
void rpcd_box_idle(struct rpcd_box *box, int code);

/* ---- sandbox-start.c ---- */

/* Starts it, of a snapshot or afresh. */
void rpcd_box_start(struct rpcd_box *box, struct rpcd_snap *snap);

/* ---- sandbox-events.c ---- */

void rpcd_box_event(struct rpcd_box *box, const char *action, const char *key, const char *value);

/* ---- sandbox-exec.c ---- */

/* Its sandbox is gone: the command ends here and now, whatever its host has not taken yet. Not while it is launching. */
void rpcd_command_cut(struct rpcd_command *session);
/* Of a sandbox that has become ready, or never will be (then code and text are the Error frame): the command that has
 * waited for that, if there is one. */
void rpcd_command_begin(struct rpcd_box *box);
void rpcd_command_refuse(struct rpcd_box *box, int code, const char *text);
/* Its host waits no more; the command itself stays until the start of its sandbox has come to an end. */
void rpcd_command_let_go(struct rpcd_box *box, int code, const char *text);
/* What PID 1 says of the command that it was started with. */
void rpcd_command_told(struct rpcd_box *box, const struct gb_sandbox_word *word);
/* Whether its program is not started yet. */
bool rpcd_command_is_launching(const struct rpcd_command *session);

/* ---- sandbox-image.c ---- */

/* Whether there are images in a place, or one is being imported. */
bool rpcd_images_any(const struct gb_sandbox_place *place);

/* ---- sandbox-snapshot.c ---- */

/* In its place among the others: they are sorted by when they were made, whatever the clock has done since. */
void rpcd_snap_insert(struct rpcd_sandboxes *all, struct rpcd_snap *snap);

/* ---- sandbox-recover.c ---- */

/* When the daemon starts: those that outlived the one before are found again. */
int rpcd_sandbox_recover(struct rpcd_sandboxes *all, struct gb_err *err);

/* ---- sandbox-open.c ---- */

/* The sandboxes of this daemon, opened; NULL after an Error frame. */
struct rpcd_sandboxes *rpcd_sandboxes_of(struct rpcd_call *call);

/* The requests, each in the file of its subject. */
rpcd_fn rpcd_sandbox_create, rpcd_sandbox_stop, rpcd_sandbox_remove, rpcd_sandbox_inspect, rpcd_sandbox_list,
	rpcd_sandbox_run, rpcd_sandbox_exec, rpcd_sandbox_events, rpcd_sandbox_checkpoint, rpcd_sandbox_restore,
	rpcd_sandbox_list_snapshots, rpcd_sandbox_delete_snapshot;

#endif
