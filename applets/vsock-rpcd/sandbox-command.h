/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: a command in a sandbox, between its start (sandbox-launch.c) and its end (sandbox-exec.c). */
#ifndef GB_RPCD_SANDBOX_COMMAND_H
#define GB_RPCD_SANDBOX_COMMAND_H

#include <stdbool.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "applets/vsock-rpcd/sandbox.h"

struct rpcd_command {
	struct rpcd_box *box;
	struct gb_conn *conn; /* NULL: the host is gone */
	unsigned char *trace;
	size_t trace_len;
	uint32_t reply;
	bool exec; /* may have input; its connection is not used again */
	struct gb_sandbox_exec ex;
	struct gb_child child;
	bool launching, exited, spoke, timed_out;
	struct rpcd_launch *waiting; /* its start, while the sandbox starts */
	bool first; /* PID 1 has started it, and tells its end */
	bool told;  /* it has done so before that was known */
	struct gb_sandbox_word early;
	int lost;   /* an errno: it could not be started */
	int code;
	struct rpcd_command_stream {
		struct rpcd_command *session;
		const char *name;
		struct gb_io io; /* fd -1: at its end */
		bool starved;    /* it waits for the host */
		int owed;        /* bytes that it wrote before its end and that are still to be read; of a terminal: at most */
		bool moved;      /* some came */
	} out, err;
	struct gb_io in, console;
	bool accepted; /* console is the runtime's connection, not the listening socket */
	struct gb_buf input;
	size_t input_at;
	bool input_end; /* nothing more comes */
	bool tty;
	struct winsize size;
	struct gb_timer timeout, drain;
};

/* Its host's connection waits for it and feeds it from here on; nothing is open yet. */
void rpcd_command_attach(struct rpcd_command *s);
/* Hands on what has come of input. */
void rpcd_command_feed(struct rpcd_command *s);
/* It has ended, with this status; its output is still to be read. */
void rpcd_command_exited(struct rpcd_command *s, int code);
/* Ends with one that says nothing to its host. */
void rpcd_command_free(struct rpcd_command *s);
void rpcd_command_close(struct gb_io *io);

#endif
