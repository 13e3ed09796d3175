/* SPDX-License-Identifier: MIT */
/* What a request may ask for. */
#include "common/sandbox/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/dir.h"

enum {
	ID_MAX = 128, IMAGE_MAX = 128, PATH_LEN_MAX = 1024, USER_MAX = 128,
	LABELS_MAX = 64, LABEL_KEY_MAX = 256, LABEL_VALUE_MAX = 4096,
	MOUNTS_MAX = 64,
	VCPUS_MAX = 1024, MEMORY_MIN_MIB = 4,
};
#define MEMORY_MAX_MIB ((uint64_t)16 << 20) /* 16 TiB */

/* What a sandbox has of its own there. */
static const char *const reserved[] = { "/dev", "/proc", "/sys" };

int gb_sandbox_check_id(const char *id, struct gb_err *err)
{
	size_t len = strlen(id);

	if (len == 0 || len > ID_MAX)
		return gb_err_set(err, EINVAL, "id: %zu bytes long, where 1 to %d are allowed", len, ID_MAX);
	if (gb_dir_dots(id))
		return gb_err_set(err, EINVAL, "id \"%s\": not allowed", id);
	for (const unsigned char *p = (const unsigned char *)id; *p; p++) {
		if (*p < 0x20 || *p == 0x7f || *p == '/' || *p == '\\')
			return gb_err_set(err, EINVAL, "id \"%s\": control characters, / and \\ are not allowed", id);
	}
	return 0;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int gb_sandbox_check_image(const char *name, struct gb_err *err)
{
	size_t len = strlen(name);

	if (len == 0 || len > IMAGE_MAX)
		return gb_err_set(err, EINVAL, "image name: %zu bytes long, where 1 to %d are allowed", len, IMAGE_MAX);
	for (const char *p = name; *p; p++) {
		if (!is_alnum(*p) && (p == name || !strchr("._-:@+", *p)))
			return gb_err_set(err, EINVAL,
					  "image name \"%s\": letters, digits and \"._-:@+\" behind the first are allowed", name);
	}
	return 0;
}

bool gb_sandbox_path_is_plain(const char *path, bool root)
{
	if (path[0] != '/' || strlen(path) > PATH_LEN_MAX)
		return false;
	if (!path[1])
		return root;
	for (const char *p = path; *p; p++) {
		size_t n = strcspn(p + 1, "/");
		if (n == 0 || (n == 1 && p[1] == '.') || (n == 2 && p[1] == '.' && p[2] == '.'))
			return false;
		p += n;
	}
	return true;
}

static int check_env(const char *key, struct gb_err *err)
{
	if (!*key || strchr(key, '='))
		return gb_err_set(err, EINVAL, "env: \"%s\" is no name of a variable", key);
	return 0;
}

int gb_sandbox_check_command(char *const *cmd, size_t n, const char *dir, const char *user, struct gb_err *err)
{
	if (n && !cmd[0][0])
		return gb_err_set(err, EINVAL, "cmd: its first word is empty");
	if (*dir && !gb_sandbox_path_is_plain(dir, true))
		return gb_err_set(err, EINVAL, "working_dir \"%s\": not an absolute path without \"..\"", dir);
	if (strlen(user) > USER_MAX || strpbrk(user, "\n/"))
		return gb_err_set(err, EINVAL, "user \"%s\": not a name or number, with :GROUP or without", user);
	return 0;
}

static int check_mounts(const Sandbox__V1__CreateSandboxRequest *spec, struct gb_err *err)
{
	if (spec->n_mounts > MOUNTS_MAX)
		return gb_err_set(err, EINVAL, "mounts: %zu, where %d are allowed", spec->n_mounts, MOUNTS_MAX);
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const Sandbox__V1__Mount *m = spec->mounts[i];

		if (!gb_sandbox_path_is_plain(m->source, false))
			return gb_err_set(err, EINVAL, "mounts: source \"%s\": not an absolute path without \"..\", below /", m->source);
		if (!gb_sandbox_path_is_plain(m->target, false))
			return gb_err_set(err, EINVAL, "mounts: target \"%s\": not an absolute path without \"..\", below /", m->target);
		for (size_t k = 0; k < GB_ARRAY_LEN(reserved); k++) {
			if (gb_dir_within(m->target, reserved[k]))
				return gb_err_set(err, EINVAL, "mounts: target \"%s\": %s is the sandbox's own", m->target, reserved[k]);
		}
		for (size_t k = 0; k < i; k++) {
			if (strcmp(spec->mounts[k]->target, m->target) == 0)
				return gb_err_set(err, EINVAL, "mounts: target \"%s\" stands there twice", m->target);
		}
	}
	return 0;
}

int gb_sandbox_check_create(const Sandbox__V1__CreateSandboxRequest *spec, struct gb_err *err)
{
	int r = *spec->id ? gb_sandbox_check_id(spec->id, err) : 0;

	if (r < 0)
		return r;
	if (*spec->kernel || *spec->boot_args)
		return gb_err_set(err, EINVAL, "%s: a sandbox here is a container of this guest's kernel, which has been started already",
				  *spec->kernel ? "kernel" : "boot_args");
	if (*spec->ssh_public_key)
		return gb_err_set(err, EINVAL, "ssh_public_key: no SSH server is put into a sandbox");
	if (*spec->image && *spec->rootfs)
		return gb_err_set(err, EINVAL, "image and rootfs: only one of them can be the root");
	if (*spec->image && (r = gb_sandbox_check_image(spec->image, err)) < 0)
		return r;
	if (*spec->rootfs && !gb_sandbox_path_is_plain(spec->rootfs, false))
		return gb_err_set(err, EINVAL, "rootfs \"%s\": not an absolute path without \"..\", below /", spec->rootfs);
	if (spec->limits && spec->limits->vcpus > VCPUS_MAX)
		return gb_err_set(err, EINVAL, "limits: %" PRIu32 " vcpus, where %d are allowed", spec->limits->vcpus, VCPUS_MAX);
	if (spec->limits && spec->limits->memory_mib &&
	    (spec->limits->memory_mib < MEMORY_MIN_MIB || spec->limits->memory_mib > MEMORY_MAX_MIB))
		return gb_err_set(err, EINVAL, "limits: %" PRIu64 " MiB of memory, where %d to %" PRIu64 " are allowed",
				  spec->limits->memory_mib, MEMORY_MIN_MIB, MEMORY_MAX_MIB);
	const char *mode = spec->network ? spec->network->mode : "";
	if (*mode && strcmp(mode, "tap") != 0 && strcmp(mode, "none") != 0)
		return gb_err_set(err, EINVAL, "network mode \"%s\": neither tap nor none", mode);
	if (spec->n_labels > LABELS_MAX)
		return gb_err_set(err, EINVAL, "labels: %zu, where %d are allowed", spec->n_labels, LABELS_MAX);
	for (size_t i = 0; i < spec->n_labels; i++) {
		if (!*spec->labels[i]->key || strlen(spec->labels[i]->key) > LABEL_KEY_MAX ||
		    strlen(spec->labels[i]->value) > LABEL_VALUE_MAX)
			return gb_err_set(err, EINVAL, "label \"%.64s\": a name of 1 to %d bytes and at most %d of value are allowed",
					  spec->labels[i]->key, LABEL_KEY_MAX, LABEL_VALUE_MAX);
	}
	for (size_t i = 0; i < spec->n_env; i++) {
		r = check_env(spec->env[i]->key, err);
		if (r < 0)
			return r;
	}
	r = gb_sandbox_check_command(spec->cmd, spec->n_cmd, spec->working_dir, spec->user, err);
	return r < 0 ? r : check_mounts(spec, err);
}

/* The maps of the messages looked at here. */
_Static_assert(offsetof(Sandbox__V1__CreateSandboxRequest__LabelsEntry, value) == offsetof(struct gb_pb_entry, value) &&
	       offsetof(Sandbox__V1__ListSandboxesRequest__LabelsEntry, value) == offsetof(struct gb_pb_entry, value) &&
	       offsetof(Sandbox__V1__ListSnapshotsRequest__LabelsEntry, value) == offsetof(struct gb_pb_entry, value) &&
	       offsetof(Guestbox__Sandbox__Snapshot__LabelsEntry, value) == offsetof(struct gb_pb_entry, value),
	       "entries of maps from string to string");

bool gb_sandbox_labels_match(const void *have, size_t n, const void *want, size_t want_n)
{
	const struct gb_pb_entry *const *haves = have, *const *wants = want;

	for (size_t i = 0; i < want_n; i++) {
		bool found = false;
		for (size_t k = 0; k < n && !found; k++)
			found = strcmp(haves[k]->key, wants[i]->key) == 0 && strcmp(haves[k]->value, wants[i]->value) == 0;
		if (!found)
			return false;
	}
	return true;
}
