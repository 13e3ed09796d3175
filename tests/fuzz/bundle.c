/* SPDX-License-Identifier: MIT */
/* Fuzz target: requests for a sandbox (a CreateSandboxRequest on the wire), and the runtime's papers that come of those
 * which are allowed. */
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/sandbox/bundle.h"
#include "common/sandbox/spec.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gb_autopb ProtobufCMessage *message = NULL;
	gb_autobuf struct gb_buf config = { 0 }, process = { 0 };
	struct gb_err err = { 0 };

	gb_pb_start();
	if (gb_pb_decode(&sandbox__v1__create_sandbox_request__descriptor, data, size, &message, &err) < 0)
		return 0;
	Sandbox__V1__CreateSandboxRequest *spec = (Sandbox__V1__CreateSandboxRequest *)message;
	if (gb_sandbox_check_create(spec, &err) < 0) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	Guestbox__Sandbox__Record record;
	guestbox__sandbox__record__init(&record);
	record.spec = spec;
	char *fallback[] = { spec->id };
	const struct gb_sandbox_bundle bundle = {
		.record = &record, .root = "/stage/root", .hostname = "h", .cgroup = "/guestbox-sandbox/x", .cpu = true, .memory = true,
		.pids = true,
		.process = { .args = spec->n_cmd ? spec->cmd : fallback, .args_len = spec->n_cmd ? spec->n_cmd : 1, .spec = spec,
			     .nofile = 4096 },
	};
	if (gb_sandbox_bundle_json(&bundle, &config) < 0 || gb_sandbox_process_json(&bundle.process, &process) < 0 ||
	    !fuzz_is_json(gb_buf_text(&config)) || !fuzz_is_json(gb_buf_text(&process)))
		abort();
	if (gb_sandbox_folder(&bundle.process)[0] != '/')
		abort();
	return 0;
}
