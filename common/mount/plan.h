/* SPDX-License-Identifier: MIT */
/* From a request to a list of steps, and from a step to the system calls it takes. Pure: nothing here asks the kernel. */
#ifndef GB_MOUNT_PLAN_H
#define GB_MOUNT_PLAN_H

#include "common/mount/options.h"

/* What is wanted. Only target is needed always. */
struct gb_mount_request {
	const char *source;  /* NULL: the type's name, for those that need no source */
	const char *target;
	const char *type;    /* NULL for a bind, a move, a remount or a change of propagation */
	const char *options; /* as behind mount(8)'s -o; NULL: none */
	unsigned long flags; /* MS_ flags on top of the words */
	bool mkdir;          /* make the target directory, with parents, if it is absent */
};

enum gb_mount_what {
	GB_MOUNT_NEW,         /* a file system, mounted */
	GB_MOUNT_TREE,        /* bind */
	GB_MOUNT_MOVE_TREE,
	GB_MOUNT_RECONFIGURE, /* remount of the file system */
	GB_MOUNT_SETATTR,     /* remount of the mount alone */
	GB_MOUNT_PROPAGATE,
};

struct gb_mount_step {
	enum gb_mount_what what;
	char *source, *target, *type, *data;
	unsigned long set, clear;         /* MS_ flags */
	unsigned long rec_set, rec_clear; /* for all mounts below, too */
	bool recursive;
	bool mkdir; /* make the target, with this mode */
	unsigned mode;
};

/* Start with {0}. */
struct gb_mount_plan {
	struct gb_mount_step *steps;
	size_t count;
};

void gb_mount_plan_free(struct gb_mount_plan *plan);
#define gb_automountplan __attribute__((cleanup(gb_mount_plan_free)))

/* Adds the steps of one request, whose options are parsed already (request->options is not looked at). 0, -EINVAL (a
 * combination that has no meaning, with its cause) or -ENOMEM. */
int gb_mount_plan_parsed(struct gb_mount_plan *plan, const struct gb_mount_request *request,
			 const struct gb_mount_options *options, struct gb_err *err);

/* Checks the words of an overlay: 0, or -EINVAL naming the one that is wrong or missing. */
int gb_mount_overlay_check(const char *data, struct gb_err *err);

/* The kernel's limit on a value of fsconfig(2), its NUL included. */
enum { GB_MOUNT_VALUE_MAX = 256 };

enum gb_mount_callid {
	GB_CALL_MKDIR,        /* a: path, flags: mode */
	GB_CALL_FSOPEN,       /* a: type */
	GB_CALL_FSPICK,       /* a: target */
	GB_CALL_FSCONFIG,     /* a: key, b: value or NULL */
	GB_CALL_CREATE,
	GB_CALL_RECONFIGURE,
	GB_CALL_FSMOUNT,      /* set: attributes */
	GB_CALL_OPEN_TREE,    /* a: source; flags: MS_REC or 0 */
	GB_CALL_SETATTR_TREE, /* set, clear: attributes; flags: MS_REC or 0 */
	GB_CALL_SETATTR_PATH, /* the same, a: target */
	GB_CALL_ATTACH,       /* a: target */
	GB_CALL_MOVE,         /* a: source, b: target */
	GB_CALL_MOUNT,        /* mount(2): a: source, b: target, c: type, d: data, flags */
};

struct gb_mount_call {
	enum gb_mount_callid id;
	const char *a, *b, *c, *d;
	unsigned long flags;
	uint64_t set, clear;
};

/* Calls fn for each system call of a step, in order, until one returns non-zero, which is the result. What a dry run
 * prints and what a run does both come from here. */
typedef int gb_mount_call_fn(const struct gb_mount_call *call, void *arg);
int gb_mount_calls(const struct gb_mount_step *step, gb_mount_call_fn *fn, void *arg);

/* All calls of a plan, a line each, as strace(1) would show them. 0 or -ENOMEM. */
int gb_mount_plan_text(struct gb_buf *buf, const struct gb_mount_plan *plan);

/* What the step does, for messages: "mount tmpfs on /x". */
void gb_mount_step_text(const struct gb_mount_step *step, char *text, size_t size);

#endif
