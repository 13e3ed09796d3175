/* SPDX-License-Identifier: MIT */
/* PID 1 of sandboxes, as bytes. */
#include "common/sandbox/pid1.h"

const unsigned char gb_sandbox_pid1[] = {
#include "common/sandbox/pid1.inc"
};
const size_t gb_sandbox_pid1_len = sizeof gb_sandbox_pid1;
