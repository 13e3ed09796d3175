/* SPDX-License-Identifier: MIT */
/* The program that is PID 1 of every sandbox, as bytes (pid1.c, built by itself). */
#ifndef GB_SANDBOX_PID1_H
#define GB_SANDBOX_PID1_H

#include <stddef.h>

extern const unsigned char gb_sandbox_pid1[];
extern const size_t gb_sandbox_pid1_len;

#endif
