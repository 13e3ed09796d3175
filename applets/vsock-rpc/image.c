/* SPDX-License-Identifier: MIT */
/* vsock-rpc sandbox image: the guest's store of images. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpc/sandbox.h"
#include "applets/vsock-rpc/stream.h"
#include "common/base/cleanup.h"
#include "common/rpc/wire.h"

enum { OPT_REPLACE = RPC_OPT_OWN };

const struct gb_opt sandbox_image_import_opts[] = {
	GB_OPT(OPT_REPLACE, "replace", "", "take the place of the one that has the name"),
	GB_OPT_AND(rpc_common_opts),
};

static int import_option(void *data, int key, char *arg, struct gb_err *err)
{
	(void)key;
	(void)arg;
	(void)err;
	*(bool *)data = true;
	return 0;
}

static int on_imported(struct rpc_stream *stream, const struct gb_frame *frame, struct gb_err *err)
{
	int r = rpc_decode(frame, GB_WIRE_IMAGE_IMPORT_REPLY, stream->data, err);

	return r < 0 ? r : 1;
}

/* Reads from a file or, with "-", from our input. The size of a regular file is announced: one that shrinks meanwhile
 * makes no image. */
static int open_archive(const char *path, uint64_t *ret_size, struct gb_err *err)
{
	struct stat st;

	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return gb_err_sys(err, errno, "%s", path);
	off_t at = lseek(fd, 0, SEEK_CUR);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		(void)close(fd);
		return gb_err_sys(err, EISDIR, "%s", path);
	}
	if (at >= 0 && S_ISREG(st.st_mode) && st.st_size > at)
		*ret_size = (uint64_t)(st.st_size - at);
	return fd;
}

int sandbox_run_image_import(struct gb_cmd *cmd, struct gb_err *err)
{
	Guestbox__V1__ImageImportRequest request = GUESTBOX__V1__IMAGE_IMPORT_REQUEST__INIT;
	gb_autopb ProtobufCMessage *message = NULL;
	struct rpc_call *call = cmd->data;
	bool replace = false;
	char **operands;

	int r = rpc_options(cmd, &(struct rpc_scan){ .own = import_option, .data = &replace, .min = 2, .max = 2,
						     .what = "name and file" }, &operands, err);
	if (r < 0)
		return r;
	gb_autoclose int fd = open_archive(operands[1], &request.size, err);
	if (fd < 0)
		return fd;
	request.name = operands[0];
	request.replace = replace;
	struct rpc_stream stream = {
		.call = call, .input = fd, .input_type = GB_WIRE_SANDBOX_EXEC_INPUT, .input_name = operands[1],
		.out = { { .fd = STDOUT_FILENO }, { .fd = STDERR_FILENO } }, .frame = on_imported, .data = &message,
	};
	r = rpc_stream(&stream, GB_WIRE_IMAGE_IMPORT, &request.base, err);
	if (r < 0)
		return r;
	const Guestbox__V1__Image *image = ((Guestbox__V1__ImageImportResponse *)(void *)message)->image;
	if (!image)
		return gb_err_set(err, EPROTO, "reply: no image in it");
	if (call->json)
		return rpc_print_json(&image->base, call, false, err);
	gb_autobuf struct gb_buf text = { 0 };
	sandbox_put(&text, image->name);
	(void)gb_buf_fmt(&text, ": %" PRIu64 " files, ", image->files);
	(void)gb_buf_human(&text, image->bytes);
	if (image->layers)
		(void)gb_buf_fmt(&text, ", %" PRIu32 " layer%s", image->layers, image->layers == 1 ? "" : "s");
	if (image->left_out)
		(void)gb_buf_fmt(&text, "; %" PRIu64 " device nodes and attributes left out", image->left_out);
	(void)gb_buf_str(&text, "\n");
	return rpc_print_text(&text, err);
}

int sandbox_run_image_ls(struct gb_cmd *cmd, struct gb_err *err)
{
	static const char *const names[] = { "IMAGE", "CREATED", "FILES", "SIZE" };
	gb_autopb ProtobufCMessage *message = NULL;
	struct sandbox_table table = { .columns = GB_ARRAY_LEN(names) };
	struct rpc_call *call = cmd->data;
	char **operands;

	int r = rpc_options(cmd, &(struct rpc_scan){ 0 }, &operands, err);
	if (r == 0)
		r = rpc_ask(call, GB_WIRE_IMAGE_LIST, NULL, &message, err);
	if (r < 0)
		return r;
	if (call->json)
		return rpc_print_json(message, call, false, err);
	const Guestbox__V1__ImageListResponse *reply = (const void *)message;
	for (size_t i = 0; i < GB_ARRAY_LEN(names); i++)
		(void)gb_buf_str(sandbox_cell(&table), names[i]);
	for (size_t i = 0; i < reply->n_images; i++) {
		const Guestbox__V1__Image *image = reply->images[i];
		sandbox_put(sandbox_cell(&table), image->name);
		sandbox_when(sandbox_cell(&table), image->created_at);
		(void)gb_buf_fmt(sandbox_cell(&table), "%" PRIu64, image->files);
		(void)gb_buf_human(sandbox_cell(&table), image->bytes);
	}
	return sandbox_table_print(&table, err);
}

int sandbox_run_image_rm(struct gb_cmd *cmd, struct gb_err *err)
{
	Guestbox__V1__ImageRemoveRequest request = GUESTBOX__V1__IMAGE_REMOVE_REQUEST__INIT;
	struct rpc_call *call = cmd->data;
	char **operands;

	int r = rpc_options(cmd, &(struct rpc_scan){ .min = 1, .max = 1, .what = "name" }, &operands, err);
	if (r < 0)
		return r;
	request.name = operands[0];
	r = rpc_ask_empty(call, GB_WIRE_IMAGE_REMOVE, &request.base, err);
	return r < 0 ? r : sandbox_print_done(call, "name", operands[0], err);
}
