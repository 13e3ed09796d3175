/* SPDX-License-Identifier: MIT */
/* Fuzz target: a damaged data disk. The input is a sandbox's record, a snapshot's and an image's in turn; what the store still
 * gives out is whole: everything that its users count on is there, and it can be written again and read back. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/sandbox/bundle.h"
#include "common/sandbox/image.h"
#include "common/sandbox/spec.h"
#include "common/sandbox/store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json.h"

#define NAME "0123456789abcdef"

static struct gb_sandbox_place place;

static void at_end(void)
{
	(void)gb_sandbox_tree_remove(AT_FDCWD, place.data);
}

static void begin(void)
{
	char top[] = "/tmp/gb-fuzz-XXXXXX", path[512];
	static const char *const folders[] = { "boxes/" NAME, "snapshots/" NAME, "images/" NAME "/root" };

	if (place.data[0])
		return;
	if (!mkdtemp(top))
		abort();
	gb_sandbox_place_set(&place, top);
	(void)atexit(at_end);
	for (size_t i = 0; i < GB_ARRAY_LEN(folders); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", top, folders[i]);
		if (gb_io_mkdirs(path) < 0)
			abort();
	}
}

static void put(const char *file, const uint8_t *data, size_t size)
{
	char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", place.data, file);
	gb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || gb_io_write(fd, data, size) < 0)
		abort();
}

/* What a daemon does with a record that it has found. */
static void use(Guestbox__Sandbox__Record *record)
{
	gb_autobuf struct gb_buf papers = { 0 };
	Sandbox__V1__CreateSandboxRequest *spec = record->spec;
	struct gb_sandbox_bundle bundle = {
		.record = record, .root = "/r", .hostname = "h", .cgroup = "/c", .cpu = true, .memory = true, .pids = true,
		.process = { .args = spec->cmd, .args_len = spec->n_cmd, .spec = spec, .nofile = 1024 },
	};

	if (!spec->limits || !spec->network || !spec->network->mode)
		abort();
	if (!gb_sandbox_labels_match(spec->labels, spec->n_labels, spec->labels, spec->n_labels))
		abort();
	if (gb_sandbox_bundle_json(&bundle, &papers) < 0 || !fuzz_is_json(gb_buf_text(&papers)))
		abort();
}

static bool on_again(const char *name, Guestbox__Sandbox__Record *record, const struct gb_err *why, void *arg)
{
	(void)name;
	(void)why;
	*(int *)arg += record != NULL;
	return false;
}

static bool on_record(const char *name, Guestbox__Sandbox__Record *record, const struct gb_err *why, void *arg)
{
	struct gb_err err;
	int again = 0;

	(void)arg;
	if (strcmp(name, NAME) != 0)
		abort();
	if (!record) {
		if (!why->msg[0])
			abort();
		return false;
	}
	use(record);
	if (gb_sandbox_record_write(&place, record, false, &err) < 0 ||
		gb_sandbox_records(&place, on_again, &again, &err) < 0 || again != 1)
		abort();
	return false;
}

static bool on_snapshot(const char *name, Guestbox__Sandbox__Snapshot *snapshot, const struct gb_err *why, void *arg)
{
	(void)arg;
	if (strcmp(name, NAME) != 0 || (!snapshot && !why->msg[0]))
		abort();
	if (snapshot)
		use(snapshot->record);
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Sandbox__V1__CreateSandboxRequest *spec = malloc(sizeof *spec);
	Guestbox__V1__Image **images = NULL;
	struct gb_err err = { 0 };
	char folder[512];
	size_t len = 0;

	gb_pb_start();
	begin();
	put("boxes/" NAME "/record", data, size);
	put("snapshots/" NAME "/record", data, size);
	put("images/" NAME "/record", data, size);
	if (gb_sandbox_records(&place, on_record, NULL, &err) < 0 || gb_sandbox_snapshots(&place, on_snapshot, NULL, &err) < 0)
		abort();
	gb_sandbox_images_path(&place, folder, sizeof folder);
	/* The image is there, whatever its record says. */
	if (gb_sandbox_images(folder, &images, &len, &err) < 0 || len != 1 || strcmp(images[0]->name, NAME) != 0)
		abort();
	gb_sandbox_images_free(images, len);
	if (!spec)
		abort();
	sandbox__v1__create_sandbox_request__init(spec);
	spec->image = strdup(NAME);
	if (!spec->image)
		abort();
	if (gb_sandbox_image_defaults(folder, spec, &err) < 0 && !err.msg[0])
		abort();
	sandbox__v1__create_sandbox_request__free_unpacked(spec, NULL);
	return 0;
}
