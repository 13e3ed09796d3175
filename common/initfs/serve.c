/* SPDX-License-Identifier: MIT */
/* From a configuration to a mount and back: set-up, worker threads, signals, unmount. */
#include <bsd/libutil.h>
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/dir.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/initfs/ops.h"

#define OVERLAYFS_MAGIC 0x794c7630L

/* --- between libfuse and the device --- */

/* Reads a request. The first one tells whether the kernel has passthrough; those that libfuse does not know are
 * answered here. */
static ssize_t read_request(int fd, void *buf, size_t size, void *data)
{
	struct gb_initfs *fs = data;
	int old;

	(void)fd;
	for (;;) {
		ssize_t n = read(fs->dev, buf, size);
		if (n < (ssize_t)sizeof(struct fuse_in_header))
			return n;
		if (!fs->init_seen) {
			struct fuse_in_header in;
			struct fuse_init_in arg = { 0 };
			size_t rest = (size_t)n - sizeof in;

			memcpy(&in, buf, sizeof in);
			memcpy(&arg, (char *)buf + sizeof in, rest < sizeof arg ? rest : sizeof arg);
			if (in.opcode == FUSE_INIT && arg.major == 7) {
				fs->init_seen = true;
				fs->init_unique = in.unique;
				fs->init_flags2 = arg.flags & FUSE_INIT_EXT ? arg.flags2 : 0;
			}
			return n;
		}
		/* Whoever ends this thread does so while it waits, not in the middle of a request. */
		(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
		bool done = gb_initfs_raw(fs, buf, (size_t)n);
		(void)pthread_setcancelstate(old, &old);
		if (!done)
			return n;
	}
}

/* The answer to INIT is written: what the kernel made of it is known now. */
static void initialised(struct gb_initfs *fs, bool asked)
{
	if (asked) {
		/* The kernel has it; whether we may use it shows with the first file. */
		gb_autoclose int blank = fs->store.fd < 0 ? memfd_create("passthrough", MFD_CLOEXEC) : -1;
		struct gb_fuse_backing_map map = { .fd = fs->store.fd >= 0 ? fs->store.fd : blank };
		int id = ioctl(fs->dev, GB_FUSE_BACKING_OPEN, &map);

		if (blank >= 0 && id > 0)
			(void)ioctl(fs->dev, GB_FUSE_BACKING_CLOSE, &id);
		else
			fs->store_backing = id > 0 ? id : 0;
		atomic_store(&fs->passthrough, id > 0);
	}
	atomic_store(&fs->ready, true);
	if (fs->config.passthrough == GB_INITFS_PASS_ON && !atomic_load(&fs->passthrough)) {
		fs->refused = true;
		fuse_session_exit(fs->session);
		return;
	}
	if (fs->on_ready)
		fs->on_ready(fs);
}

/* Writes an answer. libfuse 3.14 does not know of passthrough: the answer to INIT says so for it. */
static ssize_t write_answer(int fd, struct iovec *iov, int count, void *data)
{
	struct gb_initfs *fs = data;

	(void)fd;
	if (atomic_load_explicit(&fs->ready, memory_order_relaxed) || !fs->init_seen || count < 1 ||
	    iov[0].iov_len != sizeof(struct fuse_out_header))
		return writev(fs->dev, iov, count);
	struct fuse_out_header head;
	memcpy(&head, iov[0].iov_base, sizeof head);
	if (head.unique != fs->init_unique || head.error)
		return writev(fs->dev, iov, count);
	bool whole = count == 2 && iov[1].iov_len == sizeof(struct gb_fuse_init_out);
	bool ask = whole && (fs->init_flags2 & GB_FUSE_PASSTHROUGH2) && fs->config.passthrough != GB_INITFS_PASS_OFF &&
		   !fs->config.writeback;
	if (whole && fs->init_flags2) {
		struct gb_fuse_init_out *out = iov[1].iov_base;
		out->flags |= FUSE_INIT_EXT;
		out->flags2 |= fs->init_flags2 & GB_FUSE_DIRECT_IO_MMAP2;
		if (ask) {
			out->flags2 |= GB_FUSE_PASSTHROUGH2;
			out->max_stack_depth = fs->stack_depth;
		}
	}
	ssize_t n = writev(fs->dev, iov, count);
	if (n >= 0)
		initialised(fs, ask);
	return n;
}

static ssize_t splice_answer(int in, off_t *off_in, int out, off_t *off_out, size_t len, unsigned flags, void *data)
{
	struct gb_initfs *fs = data;

	(void)out;
	return splice(in, off_in, fs->dev, off_out, len, flags);
}

static const struct fuse_custom_io device_io = {
	.read = read_request,
	.writev = write_answer,
	.splice_send = splice_answer,
};

/* --- set-up --- */

/* libfuse says what is wrong on stderr; its last line becomes part of our error. */
static struct { pthread_mutex_t lock; char line[256]; bool keep, more; } complaint = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_fuse_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	if (level > FUSE_LOG_WARNING)
		return;
	(void)pthread_mutex_lock(&complaint.lock);
	if (complaint.keep) {
		/* A line may come in pieces. */
		size_t at = complaint.more ? strlen(complaint.line) : 0;
		(void)vsnprintf(complaint.line + at, sizeof complaint.line - at, fmt, ap);
		complaint.more = !strchr(complaint.line, '\n');
		complaint.line[strcspn(complaint.line, "\n")] = '\0';
	}
	(void)pthread_mutex_unlock(&complaint.lock);
}

static int fuse_failed(struct gb_err *err, int code, const char *what)
{
	const char *text = strncmp(complaint.line, "fuse: ", 6) == 0 ? complaint.line + 6 : complaint.line;
	return gb_err_set(err, code, "%s: %s", what, *text ? text : "refused");
}

/* Descriptors for a large tree: as many as we may have. */
static void raise_limit(unsigned *fds)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		(void)getrlimit(RLIMIT_NOFILE, &limit);
	}
	/* the other half is for open files */
	if (limit.rlim_cur != RLIM_INFINITY && *fds > limit.rlim_cur / 2)
		*fds = (unsigned)(limit.rlim_cur / 2);
}

/* Names that SOURCE has already: its own folder is as good as a virtual one; anything else is in the way. */
static int settle_names(struct gb_initfs *fs, int source, struct gb_err *err)
{
	struct gb_initfs_config *c = &fs->config;
	unsigned kept = 0;
	struct stat st;

	if (c->inject && c->fail_real && fstatat(source, c->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return gb_err_set(err, GB_E_REFUSED, "%s/%s: exists (--fail-real)", c->source, c->name);
	for (unsigned i = 0; i < c->dir_count; i++) {
		if (c->inject && strcmp(c->dirs[i], c->name) == 0)
			return gb_err_set(err, GB_E_USAGE, "--dir %s: the virtual file has that name", c->dirs[i]);
		if (fstatat(source, c->dirs[i], &st, AT_SYMLINK_NOFOLLOW) == 0) {
			if (!S_ISDIR(st.st_mode))
				return gb_err_set(err, GB_E_REFUSED, "--dir %s: %s has it, and it is no folder", c->dirs[i],
						  c->source);
			continue;
		}
		c->dirs[kept++] = c->dirs[i];
	}
	c->dir_count = kept;
	return 0;
}

static void op_init(void *data, struct fuse_conn_info *conn)
{
	struct gb_initfs *fs = data;
	const unsigned wanted = FUSE_CAP_DONT_MASK | FUSE_CAP_POSIX_ACL | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_DIO |
				FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;

	conn->want |= conn->capable & wanted;
	/* As root we do not clear set-user-ID bits by writing: the kernel tells us to. */
	conn->want &= ~(unsigned)FUSE_CAP_HANDLE_KILLPRIV;
	/* Locks stay in the kernel: it serves flock(2) and fcntl(2) by itself. */
	conn->want &= ~(unsigned)(FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_EXPORT_SUPPORT);
	/* Requests are small (writes come in one piece, and are copied once): a pipe between costs more than it saves. */
	conn->want &= ~(unsigned)FUSE_CAP_SPLICE_READ;
	if (fs->config.splice)
		conn->want |= conn->capable & FUSE_CAP_SPLICE_WRITE;
	if (fs->config.writeback)
		conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
	if (fs->config.cache == GB_INITFS_ALWAYS)
		conn->want |= conn->capable & FUSE_CAP_CACHE_SYMLINKS;
}

/* -o: what the library and the kernel take, after what we always want. */
static int make_session(struct gb_initfs *fs, struct gb_err *err)
{
	const struct gb_initfs_config *c = &fs->config;
	struct fuse_lowlevel_ops ops = { .init = op_init };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	gb_autobuf struct gb_buf options = { 0 };

	(void)gb_buf_str(&options, "default_permissions,subtype=guestbox");
	if (fs->root)
		(void)gb_buf_str(&options, ",allow_other");
	if (c->options)
		(void)gb_buf_fmt(&options, ",%s", c->options);
	(void)gb_buf_str(&options, ",fsname=");
	for (const char *p = c->source; *p; p++) { /* as libfuse's parser wants it */
		if (*p == ',' || *p == '\\')
			(void)gb_buf_str(&options, "\\");
		(void)gb_buf_add(&options, p, 1);
	}
	complaint.keep = true;
	fuse_set_log_func(on_fuse_log);
	if (options.failed || fuse_opt_add_arg(&args, "guestbox-initfs") < 0 || fuse_opt_add_arg(&args, "-o") < 0 ||
	    fuse_opt_add_arg(&args, options.data) < 0) {
		fuse_opt_free_args(&args);
		return gb_err_sys(err, ENOMEM, "session");
	}
	gb_initfs_names_ops(&ops);
	gb_initfs_attr_ops(&ops);
	gb_initfs_open_ops(&ops);
	gb_initfs_data_ops(&ops);
	gb_initfs_dir_ops(&ops);
	fs->session = fuse_session_new(&args, &ops, sizeof ops, fs);
	fuse_opt_free_args(&args);
	return fs->session ? 0 : fuse_failed(err, GB_E_USAGE, "-o");
}

struct gb_initfs *gb_initfs_new(const struct gb_initfs_config *config, struct gb_err *err)
{
	static const double timeouts[] = { [GB_INITFS_NEVER] = 0, [GB_INITFS_AUTO] = 1, [GB_INITFS_ALWAYS] = 86400 };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct statfs st;
	struct gb_initfs *fs = calloc(1, sizeof *fs);

	if (!fs) {
		(void)gb_err_sys(err, ENOMEM, "initfs");
		return NULL;
	}
	fs->config = *config;
	fs->store.fd = -1;
	fs->table.proc = -1;
	fs->dev = -1;
	fs->timeout = config->timeout >= 0 ? config->timeout : timeouts[config->cache];
	fs->root = geteuid() == 0;
	fs->stack_depth = 1;
	(void)clock_gettime(CLOCK_REALTIME, &fs->start);
	(void)syscall(SYS_capget, &head, fs->caps);
	raise_limit(&fs->config.fds);

	gb_autoclose int source = open(config->source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (source < 0) {
		(void)gb_err_sys(err, errno, "%s", config->source);
		goto fail;
	}
	/* An overlay is one level above what it lies on, and we are one above it; two is the most (FILESYSTEM_MAX_STACK_DEPTH). */
	if (fstatfs(source, &st) == 0 && st.f_type == OVERLAYFS_MAGIC)
		fs->stack_depth = 2;
	if (settle_names(fs, source, err) < 0)
		goto fail;
	if (config->inject && gb_initfs_store_open(&fs->store, config->init, config->force, err) < 0)
		goto fail;
	int r = gb_initfs_table_open(&fs->table, gb_take_fd(&source), GB_ID_DIRS + fs->config.dir_count, fs->config.fds, config->handles);
	if (r < 0) {
		(void)gb_err_sys(err, -r, "%s", config->source);
		goto fail;
	}
	if (make_session(fs, err) < 0)
		goto fail;
	return fs;
fail:
	gb_initfs_free(fs);
	return NULL;
}

void gb_initfs_free(struct gb_initfs *fs)
{
	if (fs->session)
		fuse_session_destroy(fs->session);
	if (fs->table.proc >= 0)
		gb_initfs_table_close(&fs->table);
	gb_initfs_store_close(&fs->store);
	if (fs->dev >= 0)
		(void)close(fs->dev);
	free(fs);
}

/* From here on requests go through fd, which fs owns. */
static int attach(struct gb_initfs *fs, int fd, struct gb_err *err)
{
	fs->dev = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fs->dev < 0)
		return gb_err_sys(err, errno, "device");
	int r = fuse_session_custom_io(fs->session, &device_io, fd);
	return r < 0 ? gb_err_sys(err, -r, "device") : 0;
}

/* --- workers --- */

struct pool {
	struct gb_initfs *fs;
	pthread_t main;
	pthread_t threads[GB_INITFS_THREADS];
	unsigned count;
};

enum { SIG_WORKER_ENDED = SIGUSR2 };

static void free_buffer(void *arg)
{
	struct fuse_buf *buf = arg;

	free(buf->mem);
	gb_initfs_thread_end();
}

static void serve_all(struct fuse_session *session)
{
	struct fuse_buf buf = { 0 };
	int old;

	pthread_cleanup_push(free_buffer, &buf);
	while (!fuse_session_exited(session)) {
		(void)pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
		int n = fuse_session_receive_buf(session, &buf);
		(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		fuse_session_process_buf(session, &buf);
	}
	pthread_cleanup_pop(1);
}

static void *worker(void *arg)
{
	struct pool *pool = arg;
	int old;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	gb_initfs_thread_begin();
	serve_all(pool->fs->session);
	(void)pthread_kill(pool->main, SIG_WORKER_ENDED);
	return NULL;
}

int gb_initfs_serve(struct gb_initfs *fs, int fd, struct gb_err *err)
{
	int r = attach(fs, fd, err);

	if (r < 0)
		return r;
	gb_initfs_thread_begin();
	serve_all(fs->session);
	return 0;
}

/* --- the process --- */

/* Whoever reads it to the end is not kept waiting. */
static void tell_ready(struct gb_initfs *fs)
{
	const int fd = fs->config.ready_fd;
	int r = fd >= 0 ? gb_io_write(fd, "\n", 1) : 0;

	if (r < 0)
		gb_log(GB_LOG_WARNING, "--ready-fd %d: %s", fd, strerror(-r));
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

static bool still_mounted(const struct gb_initfs *fs)
{
	struct pollfd p = { .fd = fs->dev };

	return poll(&p, 1, 0) <= 0 || !(p.revents & POLLERR);
}

static int start_workers(struct pool *pool, struct gb_err *err)
{
	for (unsigned i = 0; i < pool->fs->config.threads; i++) {
		int r = pthread_create(&pool->threads[i], NULL, worker, pool);
		if (r && i == 0)
			return gb_err_sys(err, r, "thread");
		if (r)
			break; /* fewer do */
		pool->count++;
	}
	return 0;
}

/* Locked as long as it serves: a second server does not take the first one's, and finds one that was left behind free. */
static int open_pidfile(const char *path, struct gb_err *err)
{
	gb_autoclose int fd = flopen(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
	struct stat st;

	if (fd < 0 && errno == EWOULDBLOCK)
		return gb_err_set(err, EBUSY, "%s: of a process that serves", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return gb_err_sys(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode)) /* it is removed at the end */
		return gb_err_set(err, EINVAL, "%s: not a regular file", path);
	return gb_take_fd(&fd);
}

static int write_pidfile(const char *path, int fd, struct gb_err *err)
{
	char text[32];
	int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
	int r = ftruncate(fd, 0) < 0 ? -errno : gb_io_write(fd, text, (size_t)n);

	return r < 0 ? gb_err_sys(err, -r, "%s", path) : 0;
}

/* Mounts, tells the parent and serves until the end. */
static int serve_mount(struct gb_initfs *fs, sigset_t *signals, struct gb_err *err)
{
	struct pool pool = { .fs = fs, .main = pthread_self() };
	int r, sig = 0;

	if (fuse_session_mount(fs->session, fs->config.mountpoint) < 0) {
		int reason = errno;
		if (!*complaint.line)
			return gb_err_sys(err, reason, "%s: mount", fs->config.mountpoint);
		return fuse_failed(err, EIO, fs->config.mountpoint);
	}
	r = attach(fs, fuse_session_fd(fs->session), err);
	if (r == 0)
		r = start_workers(&pool, err);
	complaint.keep = false;
	if (r == 0) {
		while ((sig = sigwaitinfo(signals, NULL)) < 0 && errno == EINTR)
			;
	}
	if (sig != SIG_WORKER_ENDED && pool.count) {
		/* What is mapped and changed goes to the source while there is somebody to take it. */
		gb_autoclose int top = open(fs->config.mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (top >= 0)
			(void)syncfs(top);
	}
	/* The workers go on meanwhile. A mount in use goes away for new users at once, and for the old ones with us. */
	fuse_session_unmount(fs->session);
	fuse_session_exit(fs->session);
	if (pool.count && still_mounted(fs)) {
		for (unsigned i = 0; i < pool.count; i++)
			(void)pthread_cancel(pool.threads[i]);
	}
	for (unsigned i = 0; i < pool.count; i++)
		(void)pthread_join(pool.threads[i], NULL);
	if (r == 0 && fs->refused)
		return gb_err_set(err, EOPNOTSUPP, "--passthrough=on: this kernel, or its rights for us, do not have it");
	if (r == 0 && !atomic_load(&fs->ready))
		return gb_err_set(err, EPROTO, "%s: the kernel speaks another protocol", fs->config.mountpoint);
	return r;
}

/* Neither may lie in the other: a request would wait for itself. */
static int check_places(const char *source, const char *mountpoint, struct gb_err *err)
{
	char a[PATH_MAX], b[PATH_MAX];
	struct stat st;

	/* FUSE could be mounted on a file, too, which would then look like a folder. */
	if (stat(mountpoint, &st) < 0)
		return gb_err_sys(err, errno, "%s", mountpoint);
	if (!S_ISDIR(st.st_mode))
		return gb_err_sys(err, ENOTDIR, "%s", mountpoint);
	if (!realpath(source, a))
		return gb_err_sys(err, errno, "%s", source);
	if (!realpath(mountpoint, b))
		return gb_err_sys(err, errno, "%s", mountpoint);
	bool inner = gb_dir_within(b, a);
	if (!inner && !gb_dir_within(a, b))
		return 0;
	return gb_err_set(err, GB_E_REFUSED, "%s: %s lies in it", inner ? source : mountpoint, inner ? mountpoint : source);
}

/* What the child in the background tells its parent. */
struct report {
	int code;
	char msg[sizeof((struct gb_err *)0)->msg];
};

static int report_fd = -1;

static void report(const struct gb_err *err)
{
	struct report r = { .code = err ? err->code : 0 };

	if (report_fd < 0)
		return;
	if (err)
		(void)strlcpy(r.msg, err->msg, sizeof r.msg);
	(void)gb_io_write(report_fd, &r, sizeof r);
	(void)close(report_fd);
	report_fd = -1;
}

static void on_ready(struct gb_initfs *fs)
{
	tell_ready(fs);
	if (!fs->config.foreground) {
		gb_autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		for (int i = 0; i < 3 && null >= 0; i++)
			(void)dup2(null, i);
	}
	report(NULL);
}

/* The parent: ends once the child has mounted or failed. */
static int await(int fd, pid_t child, const char *mountpoint, struct gb_err *err)
{
	struct report r;
	int status;

	if (gb_io_read(fd, &r, sizeof r) == (ssize_t)sizeof r) {
		r.msg[sizeof r.msg - 1] = '\0';
		if (r.code == 0)
			return 0;
		(void)gb_io_wait(child, NULL);
		return gb_err_set(err, r.code, "%s", r.msg);
	}
	if (gb_io_wait(child, &status) == 0 && WIFSIGNALED(status))
		return gb_err_set(err, EIO, "%s: the server was killed by signal %d", mountpoint, WTERMSIG(status));
	return gb_err_set(err, EIO, "%s: the server ended before it had mounted", mountpoint);
}

/* 1 in the child, which goes on, with report_fd; the parent has heard of it how that went. */
static int go_behind(const char *mountpoint, struct gb_err *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return gb_err_sys(err, errno, "pipe");
	pid_t child = fork();
	if (child == 0) {
		(void)close(fds[0]);
		report_fd = fds[1];
		(void)setsid();
		return 1;
	}
	int failed = errno;
	(void)close(fds[1]);
	int r = child < 0 ? gb_err_sys(err, failed, "fork") : await(fds[0], child, mountpoint, err);
	(void)close(fds[0]);
	return r;
}

int gb_initfs_run(const struct gb_initfs_config *config, struct gb_err *err)
{
	gb_autoclose int pidfile = -1;
	sigset_t signals;
	int r;

	r = check_places(config->source, config->mountpoint, err);
	if (r < 0)
		return r;
	if (config->pidfile) {
		pidfile = open_pidfile(config->pidfile, err);
		if (pidfile < 0)
			return pidfile;
	}
	/* Whoever serves takes signals in order, where it waits for them. */
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigaddset(&signals, SIG_WORKER_ENDED);
	if (!config->foreground) {
		r = go_behind(config->mountpoint, err);
		if (r <= 0)
			return r;
	}
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);

	struct gb_initfs *fs = gb_initfs_new(config, err);
	r = fs ? 0 : -err->code;
	if (r == 0 && pidfile >= 0)
		r = write_pidfile(config->pidfile, pidfile, err);
	if (fs && r == 0) {
		fs->on_ready = on_ready;
		r = serve_mount(fs, &signals, err);
	}
	if (pidfile >= 0)
		(void)unlink(config->pidfile);
	if (fs)
		gb_initfs_free(fs);
	if (!config->foreground && report_fd >= 0 && r < 0) {
		report(err); /* the parent says it */
		return gb_err_set(err, GB_E_SILENT, "reported");
	}
	return r;
}
