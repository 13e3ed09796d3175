/* SPDX-License-Identifier: MIT */
/* What one mark of the boot's timeline costs: opening the file, a record at its end, closing it. For bench/vm-boots. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/mono.h"
#include "common/sys/timeline.h"

int main(void)
{
	enum { MARKS = GB_TIMELINE_MAX / 2, ROUNDS = 8 }; /* no more fit; the first round warms up */
	uint64_t ns = 0;

	if (setenv("GUESTBOX_TIMELINE", "/run/guestbox/marks", 1) < 0)
		return 1;
	for (int round = 0; round <= ROUNDS; round++) {
		int fd = open("/run/guestbox/marks", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || close(fd) < 0)
			return 1;
		uint64_t begun = gb_mono_ns();
		for (int i = 0; i < MARKS; i++)
			gb_timeline_mark("bench", "a mark", begun);
		ns += round ? gb_mono_ns() - begun : 0;
	}
	printf("%llu ns each\n", (unsigned long long)(ns / (MARKS * ROUNDS)));
	return 0;
}
