/* SPDX-License-Identifier: MIT */
/* vsock-rpc sandbox: what its files share. */
#ifndef GB_VSOCK_RPC_SANDBOX_H
#define GB_VSOCK_RPC_SANDBOX_H

#include "applets/vsock-rpc/rpc.h"

enum { SANDBOX_PAIRS_MAX = 1024, SANDBOX_MOUNTS_MAX = 256 };

struct sandbox_pairs {
	struct sandbox_pair { char *key, *value; } list[SANDBOX_PAIRS_MAX];
	size_t len;
};

/* What the options of any sandbox command say. Text points into argv. */
struct sandbox_args {
	struct rpc_call *call;
	char *id, *image, *rootfs, *workdir, *user, *network, *kernel, *boot_args, *ssh_key, *state, *action, *name, *sandbox;
	uint32_t cpus, ttl, limit, grace;
	uint64_t memory_mib;
	bool tty, force, wait, image_command, no_stdin, new_address, remove;
	uint32_t count; /* of events; 0: no end */
	struct sandbox_pairs env, labels;
	Sandbox__V1__Mount mounts[SANDBOX_MOUNTS_MAX], *mount_list[SANDBOX_MOUNTS_MAX];
	size_t mounts_len;
};

/* Reads a sandbox command's options and operands; *ret_args is freed by the caller (gb_autofree). */
int sandbox_args(struct gb_cmd *cmd, int flags, int min, int max, const char *what, struct sandbox_args **ret_args,
		 char ***ret_operands, struct gb_err *err);

/* Sets a map field of a request: the memory is in *ret_memory, one block, freed by the caller after the call. */
int sandbox_map(ProtobufCMessage *request, const char *field, const struct sandbox_pairs *pairs, void **ret_memory,
		struct gb_err *err);

/* Reads what create and launch share: request and the memory that it needs (both freed by the caller; ret_args too). */
struct sandbox_create {
	Sandbox__V1__CreateSandboxRequest request;
	Sandbox__V1__ResourceLimits limits;
	Sandbox__V1__NetworkSpec network;
	struct sandbox_args *args;
	void *env, *labels;
};
int sandbox_create_args(struct gb_cmd *cmd, int min, const char *what, struct sandbox_create *create, char ***ret_operands,
			struct gb_err *err);
void sandbox_create_free(struct sandbox_create *create);

/* A field of a request, if it was given. */
#define SANDBOX_SET(request, field, value) do { if (value) (request).field = (value); } while (0)

/* Text that came from the guest, as it may reach a terminal. */
void sandbox_put(struct gb_buf *buf, const char *text);

/* Unix seconds in UTC; "-" for 0. */
void sandbox_when(struct gb_buf *buf, int64_t seconds);
/* Labels of any message: K=V,K=V; "-" for none. */
void sandbox_labels(struct gb_buf *buf, const void *list, size_t len);
void sandbox_put_or_dash(struct gb_buf *buf, const char *text);
/* A line of one word. */
int sandbox_print_word(const char *word, struct gb_err *err);
/* What an answer without content is shown by: the operand that was asked for, in JSON under this key. */
int sandbox_print_done(const struct rpc_call *call, const char *key, const char *word, struct gb_err *err);

/* Columns of cells, each as wide as its widest; rows x columns cells. Prints and frees them. */
struct sandbox_table {
	struct gb_buf *cells;
	size_t columns, len, size;
	bool failed;
};
struct gb_buf *sandbox_cell(struct sandbox_table *table);
void sandbox_heads(struct sandbox_table *table, const char *const *names, size_t len);
void sandbox_texts(struct sandbox_table *table, const char *const *texts, size_t len);
int sandbox_table_print(struct sandbox_table *table, struct gb_err *err);

/* The commands, each with its option table. */
gb_run_fn sandbox_run_create, sandbox_run_launch, sandbox_run_run, sandbox_run_exec, sandbox_run_stop, sandbox_run_rm, sandbox_run_ls,
	sandbox_run_inspect, sandbox_run_events, sandbox_run_checkpoint, sandbox_run_restore, sandbox_run_snapshots,
	sandbox_run_snapshots_rm, sandbox_run_image_import, sandbox_run_image_ls, sandbox_run_image_rm;
extern const struct gb_opt sandbox_create_opts[], sandbox_launch_opts[], sandbox_run_opts[], sandbox_exec_opts[], sandbox_stop_opts[],
	sandbox_rm_opts[], sandbox_ls_opts[], sandbox_events_opts[], sandbox_checkpoint_opts[], sandbox_restore_opts[],
	sandbox_snapshots_opts[], sandbox_image_import_opts[];

#endif
