/* SPDX-License-Identifier: MIT */
/* A log file of bounded size, with its older generations beside it: NAME.1 is the last one put aside. */
#ifndef GB_SYS_LOGFILE_H
#define GB_SYS_LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is usual. */
enum { GB_LOGFILE_KEEP = 3 };

struct gb_logfile {
	char path[256];
	uint64_t max;   /* a file that has come to this size is put aside at the end of its line */
	unsigned keep;  /* so many generations */
	int fd;         /* -1: not open */
	uint64_t size;
	bool cut;       /* the last byte written was not a line's end */
	uint64_t lost;  /* bytes that could not be written since the last ones that could */
	int why;        /* ... and the errno */
};

/* path is shorter than the field for it; max in bytes. Opens nothing. */
void gb_logfile_init(struct gb_logfile *log, const char *path, uint64_t max, unsigned keep);
void gb_logfile_close(struct gb_logfile *log);

/* Opens it, if it is not open: 0 or -errno. Never through a symbolic link. */
int gb_logfile_open(struct gb_logfile *log);

/* NAME becomes NAME.1, that one NAME.2, ... and the file is closed; open and empty instead where nothing can be renamed. */
void gb_logfile_aside(struct gb_logfile *log);

/* Appends. What cannot be written (a full disk) is counted and dropped; the next bytes that can be are led by a line that
 * says so. 0, or the -errno for which all of data was dropped. */
int gb_logfile_write(struct gb_logfile *log, const void *data, size_t len);

#endif
