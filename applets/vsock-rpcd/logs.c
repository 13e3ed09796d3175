/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: what the daemons print. Each writes into a FIFO that has a name, and a thread here takes it out and into a
 * log of bounded size. To copy and truncate a file that a daemon holds open would lose what it writes meanwhile, and a
 * full disk would go unnoticed. The daemon has its FIFO open for both directions, so that it never gets SIGPIPE: when this
 * program ends, or is killed, what is printed waits in the FIFO for the next one. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "applets/vsock-rpcd/services.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/sys/logfile.h"

enum { LOGS_MAX = 4, PIPE_SIZE = 1 << 20, BLOCK = 64 << 10, STACK = 256 << 10, CLOSE_S = 1 };

struct log {
	char name[32];
	int fifo;
	struct gb_logfile file;
	int told; /* the errno that is in our own log */
};

static struct {
	pthread_mutex_t lock;
	struct log logs[LOGS_MAX];
	int count;
	uint64_t max;
	int wake; /* an eventfd: a log more, or the end */
	bool running, ending;
	pthread_t thread;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = -1 };

static char block[BLOCK]; /* the writer's; beside the others it would be 64 KB of zeros in the program's file */

/* /arcbox/log is the host's to see; else /tmp. */
static void choose(struct log *log)
{
	char path[sizeof log->file.path];
	struct stat st;

	(void)snprintf(path, sizeof path, "/arcbox/log/%s.log", log->name);
	if (stat("/arcbox", &st) == 0 && gb_io_mkdirs("/arcbox/log") == 0) {
		gb_logfile_init(&log->file, path, all.max, GB_LOGFILE_KEEP);
		if (gb_logfile_open(&log->file) == 0)
			return;
	}
	(void)snprintf(path, sizeof path, "/tmp/%s.log", log->name);
	gb_logfile_init(&log->file, path, all.max, GB_LOGFILE_KEEP);
}

/* All that is there. */
static void drain(struct log *log)
{
	ssize_t n;

	while ((n = read(log->fifo, block, sizeof block)) > 0) {
		if (!log->file.path[0])
			choose(log);
		int r = gb_logfile_write(&log->file, block, (size_t)n);
		if (r < 0 && log->told != -r)
			gb_log(GB_LOG_WARNING, "%s: %s: its lines are lost", log->file.path, strerror(-r));
		else if (r == 0 && log->told)
			gb_log(GB_LOG_NOTICE, "%s: takes lines again", log->file.path);
		log->told = -r;
	}
}

static void *writer(void *data)
{
	struct pollfd fds[LOGS_MAX + 1];

	(void)data;
	for (;;) {
		uint64_t count;

		(void)pthread_mutex_lock(&all.lock);
		int n = all.count;
		bool ending = all.ending;
		for (int i = 0; i < n; i++)
			fds[i] = (struct pollfd){ .fd = all.logs[i].fifo, .events = POLLIN };
		(void)pthread_mutex_unlock(&all.lock);
		fds[n] = (struct pollfd){ .fd = all.wake, .events = POLLIN };
		if (!ending && poll(fds, (nfds_t)n + 1, -1) < 0)
			continue;
		if (fds[n].revents) {
			ssize_t got = read(all.wake, &count, sizeof count);
			(void)got;
		}
		/* The list only grows, and only this thread uses the entries that it has seen. */
		for (int i = 0; i < n; i++) {
			if (ending || fds[i].revents)
				drain(&all.logs[i]);
		}
		if (ending)
			return NULL;
	}
}

static int start_writer(void)
{
	pthread_attr_t attr;
	sigset_t blocked, old;

	if (all.wake < 0)
		all.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (all.wake < 0)
		return -errno;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK);
	(void)sigfillset(&blocked);
	(void)pthread_sigmask(SIG_SETMASK, &blocked, &old);
	int r = pthread_create(&all.thread, &attr, writer, NULL);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)pthread_attr_destroy(&attr);
	all.running = r == 0;
	return -r;
}

static void wake(void)
{
	uint64_t one = 1;
	ssize_t n = write(all.wake, &one, sizeof one);

	(void)n; /* full: it is awake */
}

/* A descriptor for the daemon, or -errno. */
static int open_fifo(const char *name)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof path, RPCD_STATE_DIR "/%s.out", name);
	if (mkfifo(path, 0600) < 0 && errno != EEXIST)
		return -errno;
	gb_autoclose int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return -EINVAL;
	(void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE); /* best effort: 64 KiB do, too */
	return gb_take_fd(&fd);
}

static int add(const char *name)
{
	char path[128];

	for (int i = 0; i < all.count; i++) {
		if (strcmp(all.logs[i].name, name) == 0)
			return 0;
	}
	if (all.count == LOGS_MAX)
		return -ENFILE;
	/* A description of our own: that of the daemon stays a blocking one. O_RDWR: no end of file between two daemons. */
	(void)snprintf(path, sizeof path, RPCD_STATE_DIR "/%s.out", name);
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0)
		return -errno;
	struct log *log = &all.logs[all.count];
	*log = (struct log){ .fifo = fd, .file.fd = -1 };
	(void)strlcpy(log->name, name, sizeof log->name);
	all.count++;
	int r = all.running ? 0 : start_writer();
	if (r < 0) {
		all.count--;
		(void)close(fd);
		return r;
	}
	wake();
	return 0;
}

int rpcd_log_pipe(const char *name)
{
	(void)pthread_mutex_lock(&all.lock);
	int fd = open_fifo(name);
	int r = fd < 0 ? fd : all.ending ? -ESHUTDOWN : add(name);
	(void)pthread_mutex_unlock(&all.lock);
	if (r < 0 && fd >= 0)
		(void)close(fd);
	return r < 0 ? r : fd;
}

void rpcd_logs_open(uint64_t max)
{
	all.max = max;
}

void rpcd_logs_close(void)
{
	struct timespec until;

	(void)pthread_mutex_lock(&all.lock);
	all.ending = true;
	bool running = all.running;
	(void)pthread_mutex_unlock(&all.lock);
	if (!running)
		return;
	wake();
	/* A share whose server is gone must not hold the end up. */
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += CLOSE_S;
	if (pthread_timedjoin_np(all.thread, NULL, &until) != 0)
		gb_log(GB_LOG_WARNING, "the daemons' logs: not written out");
}
