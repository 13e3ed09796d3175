/* SPDX-License-Identifier: MIT */
/* A fuzz target: one function over bytes. libFuzzer calls it in `make fuzz`, tests/fuzz/replay.c in `make check`. */
#ifndef GB_FUZZ_H
#define GB_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0. What is wrong with the result is an abort(), so that both callers see it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
