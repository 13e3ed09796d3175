/* SPDX-License-Identifier: MIT */
/* Regular files read through shared mappings. */
#include "common/sys/mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"

/*
 * A page past the end of the file, or one the file system cannot deliver, raises SIGBUS in the thread that touches it
 * (mmap(2), ERRORS). The guard jumps back to whoever is copying in that thread; a SIGBUS from anywhere else gets what
 * was installed before.
 */
static _Thread_local sigjmp_buf *guard;
static struct sigaction before;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	if (guard)
		siglongjmp(*guard, 1);
	if (before.sa_flags & SA_SIGINFO) {
		before.sa_sigaction(sig, info, context);
		return;
	}
	(void)sigaction(SIGBUS, &before, NULL); /* the faulting instruction runs again, into the old disposition */
}

/* Puts the handler in place, and again when somebody else has taken it since. */
static void arm(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct sigaction action = { .sa_flags = SA_SIGINFO }, now;

	action.sa_sigaction = on_sigbus;
	(void)sigemptyset(&action.sa_mask);
	(void)pthread_mutex_lock(&lock);
	/* sigaction(2) fails only for a bad signal number or address. */
	if (sigaction(SIGBUS, NULL, &now) == 0 && now.sa_sigaction != on_sigbus) {
		before = now;
		(void)sigaction(SIGBUS, &action, NULL);
	}
	(void)pthread_mutex_unlock(&lock);
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

int gb_mapfile_adopt(struct gb_mapfile *file, int fd, const char *name, struct gb_err *err)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &stx) < 0)
		return gb_err_sys(err, errno, "%s", name);
	if (S_ISDIR(stx.stx_mode))
		return gb_err_sys(err, EISDIR, "%s", name);
	if (!S_ISREG(stx.stx_mode))
		return gb_err_set(err, EINVAL, "%s: not a regular file", name);
	file->fd = fd;
	file->size = stx.stx_size;
	file->kind = !(stx.stx_attributes_mask & STATX_ATTR_DAX) ? GB_MAP_UNKNOWN
		     : stx.stx_attributes & STATX_ATTR_DAX	 ? GB_MAP_DAX
								 : GB_MAP_PAGE_CACHE;
	return 0;
}

int gb_mapfile_open(struct gb_mapfile *file, const char *path, struct gb_err *err)
{
	gb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return gb_err_sys(err, errno, "%s", path);
	int r = gb_mapfile_adopt(file, fd, path, err);
	if (r == 0)
		(void)gb_take_fd(&fd);
	return r;
}

void gb_mapfile_close(struct gb_mapfile *file)
{
	gb_close_fd(&file->fd);
	file->fd = -1;
}

int gb_mapfile_map(const struct gb_mapfile *file, uint64_t offset, uint64_t len, struct gb_mapwindow *ret_window)
{
	size_t page = page_size();
	uint64_t left = offset < file->size ? file->size - offset : 0;

	if (len > left)
		len = left;
	if (len > GB_MAP_WINDOW)
		len = GB_MAP_WINDOW;
	if (len == 0) {
		*ret_window = (struct gb_mapwindow){ 0 };
		return 0;
	}
	uint64_t start = offset - offset % page;
	size_t lead = (size_t)(offset - start), span = lead + (size_t)len;
	void *base = mmap(NULL, span, PROT_READ, MAP_SHARED, file->fd, (off_t)start);
	if (base == MAP_FAILED)
		return -errno;
	*ret_window = (struct gb_mapwindow){ .data = (const unsigned char *)base + lead,
					     .len = (size_t)len, .base = base, .span = span };
	return 0;
}

void gb_mapfile_unmap(struct gb_mapwindow *window)
{
	if (window->base)
		(void)munmap(window->base, window->span);
	*window = (struct gb_mapwindow){ 0 };
}

/* The compiler may not move reads of the mapping out from between these, nor drop the stores. */
static void guard_up(sigjmp_buf *here)
{
	guard = here;
	__asm__ volatile("" ::: "memory");
}

static void guard_down(void)
{
	__asm__ volatile("" ::: "memory");
	guard = NULL;
}

/* memcpy under the guard; false after a SIGBUS. */
static bool try_copy(void *dst, const void *src, size_t len)
{
	sigjmp_buf here;

	if (sigsetjmp(here, 1) != 0) {
		guard_down();
		return false;
	}
	guard_up(&here);
	memcpy(dst, src, len);
	guard_down();
	return true;
}

size_t gb_mapfile_copy(const struct gb_mapwindow *window, size_t from, void *dst, size_t len)
{
	size_t page = page_size(), done = 0;

	arm();
	if (try_copy(dst, window->data + from, len))
		return len;
	/* Page by page up to the one that is missing. */
	while (done < len) {
		size_t n = page - ((uintptr_t)(window->data + from + done) & (page - 1));
		if (n > len - done)
			n = len - done;
		if (!try_copy((unsigned char *)dst + done, window->data + from + done, n))
			break;
		done += n;
	}
	return done;
}

size_t gb_mapfile_touch(const struct gb_mapwindow *window)
{
	size_t page = page_size(), done = 0;
	sigjmp_buf here;
	volatile size_t reached = 0;

	arm();
	if (sigsetjmp(here, 1) != 0) {
		guard_down();
		return reached;
	}
	guard_up(&here);
	while (done < window->len) {
		(void)*(const volatile unsigned char *)(window->data + done);
		size_t n = page - ((uintptr_t)(window->data + done) & (page - 1));
		done += n < window->len - done ? n : window->len - done;
		reached = done;
	}
	guard_down();
	return reached;
}

int gb_mapfile_cause(const struct gb_mapfile *file, uint64_t offset)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	return (uint64_t)st.st_size <= offset ? 0 : -EIO;
}
