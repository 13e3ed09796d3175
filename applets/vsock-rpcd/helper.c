/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the helper. It has the rights that requests need, gets them from the front, and looks after that. */
#include <bsd/string.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applets/vsock-rpcd/rpcd.h"
#include "applets/vsock-rpcd/services.h"
#include "common/base/cleanup.h"
#include "common/base/io.h"
#include "common/base/log.h"
#include "common/sys/memory.h"

enum {
	STOP_MS = 2000,      /* what a peer has to take its last reply */
	CHANNEL_MS = 86400000, /* the front is never slow by itself; it has an eye on the peers */
	RESTARTS = 5, RESTARTS_MS = 10000, /* a front that ends more often than this is not started again */
	GONE_MS = 1000,      /* a front that has closed its link may take this long to end */
	DELIVER_ROUNDS = 2,
	LOG_LOOK_MS = 1000,  /* between two looks at how long our own log is */
};

static struct rpcd *of_link(struct rpcd_link *link)
{
	return (struct rpcd *)((char *)link - offsetof(struct rpcd, link));
}

/* ---- clients, of both processes ---- */

struct rpcd_client *rpcd_client_new(struct rpcd *rpcd, enum gb_conn_kind kind, const char *name)
{
	struct rpcd_client *client = calloc(1, sizeof *client);

	if (!client)
		return NULL;
	client->conn.host = &rpcd->host;
	client->conn.kind = kind;
	client->channel.fd = -1;
	client->id = ++rpcd->last_id;
	(void)strlcpy(client->conn.name, name, sizeof client->conn.name);
	TAILQ_INSERT_HEAD(&rpcd->conns, &client->conn, link);
	rpcd->conns_len++;
	return client;
}

void rpcd_client_free(struct rpcd_client *client)
{
	struct rpcd *rpcd = rpcd_of(&client->conn);

	TAILQ_REMOVE(&rpcd->conns, &client->conn, link);
	rpcd->conns_len--;
	free(client);
}

/* A channel is over: the front has closed it, or there was no memory for its peer's reply. */
static void on_closed(struct gb_conn *conn)
{
	struct rpcd *rpcd = rpcd_of(conn);

	rpcd_job_forget(conn);
	rpcd_client_free(rpcd_client_of(conn));
	rpcd_mmap_next(rpcd);
}

static void on_turned(struct gb_conn *conn)
{
	rpcd_mmap_next(rpcd_of(conn));
}

/* ---- whether a reply has arrived ---- */

static void delivered(struct rpcd *rpcd)
{
	void (*fn)(struct rpcd *) = rpcd->delivered;

	rpcd->delivered = NULL;
	if (fn)
		fn(rpcd);
}

static void ask_delivered(struct rpcd *rpcd)
{
	struct rpcd_word word = { .kind = RPCD_DELIVER, .id = rpcd->deliver_id };

	if (rpcd_link_send(&rpcd->link, &word, -1) < 0)
		delivered(rpcd);
}

static void on_drained(struct gb_conn *conn)
{
	struct rpcd *rpcd = rpcd_of(conn);

	if (conn->dead)
		delivered(rpcd);
	else
		ask_delivered(rpcd);
}

void rpcd_when_delivered(struct gb_conn *conn, void (*fn)(struct rpcd *rpcd))
{
	struct rpcd *rpcd = rpcd_of(conn);

	rpcd->delivered = fn;
	rpcd->deliver_id = rpcd_client_of(conn)->id;
	rpcd->deliver_rounds = DELIVER_ROUNDS;
	gb_conn_when_drained(conn, on_drained);
}

/* What the same peer sent in one go with its request has come by now, and is answered before the second round. */
static void on_delivered(struct rpcd *rpcd, uint32_t id)
{
	struct gb_conn *conn;

	if (!rpcd->delivered || rpcd->deliver_id != id)
		return;
	TAILQ_FOREACH(conn, &rpcd->conns, link) {
		if (rpcd_client_of(conn)->id == id)
			break;
	}
	if (!conn || --rpcd->deliver_rounds == 0) {
		delivered(rpcd);
		return;
	}
	gb_conn_turn(conn);
	ask_delivered(rpcd);
}

/* ---- the front's words ---- */

/* The front may be in a stranger's hands: nothing that it says is taken for true here. */
static void on_open(struct rpcd *rpcd, const struct rpcd_word *word, int given)
{
	gb_autoclose int fd = given;

	/* Twice as many: the front may have closed some already that are still open here. */
	if (fd < 0 || rpcd->conns_len >= 2 * rpcd->conns_max) {
		gb_log(GB_LOG_ERR, "%s: no channel: %s", word->text, fd < 0 ? "out of descriptors" : "too many");
		return;
	}
	struct rpcd_client *client = rpcd_client_new(rpcd, GB_CONN_SOCKET, word->text);
	if (!client) {
		gb_log(GB_LOG_ERR, "%s: no channel: out of memory", word->text);
		return;
	}
	client->id = word->id;
	client->conn.lasting = word->code == GB_CONN_PORT; /* a port has no end */
	int taken = gb_take_fd(&fd), r = gb_conn_start(&client->conn, taken, taken);
	if (r < 0) {
		gb_log(GB_LOG_ERR, "%s: no channel: epoll: %s", word->text, strerror(-r));
		rpcd_client_free(client);
	}
}

static void on_dial(struct rpcd *rpcd, uint32_t id)
{
	struct rpcd_word word = { .kind = RPCD_DIALLED, .id = id, .code = EINVAL };
	struct gb_err err;
	bool pending = false;
	int fd = -1;

	if (id < (uint32_t)rpcd->listeners_len && rpcd->listeners[id].proxy) {
		fd = gb_addr_dial(&rpcd->listeners[id].target, &pending, &err);
		word.code = fd < 0 ? err.code : pending ? EINPROGRESS : 0;
	}
	int r = rpcd_link_send(&rpcd->link, &word, fd);
	if (r < 0)
		gb_log(GB_LOG_ERR, "word to the front: %s", strerror(-r));
}

static void on_word(struct rpcd_link *link, const struct rpcd_word *word, int given)
{
	struct rpcd *rpcd = of_link(link);
	gb_autoclose int fd = given;

	switch (word->kind) {
	case RPCD_OPEN: on_open(rpcd, word, gb_take_fd(&fd)); break;
	case RPCD_DIAL: on_dial(rpcd, word->id); break;
	case RPCD_DELIVERED: on_delivered(rpcd, word->id); break;
	case RPCD_REOPEN:
		if (word->id < (uint32_t)rpcd->listeners_len && rpcd->listeners[word->id].addr.kind == GB_ADDR_VIRTIO)
			rpcd_reopen(&rpcd->listeners[word->id]);
		break;
	}
}

/* ---- the front ---- */

static void on_gone_timer(struct gb_timer *timer)
{
	struct rpcd *rpcd = (struct rpcd *)((char *)timer - offsetof(struct rpcd, gone_timer));

	if (rpcd->child.pid > 0)
		(void)kill(rpcd->child.pid, SIGKILL);
}

/* It ends, or has nothing to say to us any more. */
static void on_gone(struct rpcd_link *link)
{
	struct rpcd *rpcd = of_link(link);

	rpcd->gone_timer.fn = on_gone_timer;
	gb_loop_timer(&rpcd->loop, &rpcd->gone_timer, GONE_MS);
}

static void drop_clients(struct rpcd *rpcd)
{
	struct gb_conn *conn;

	while ((conn = TAILQ_FIRST(&rpcd->conns)))
		gb_conn_end(conn);
}

static int start_front(struct rpcd *rpcd);

static void on_front_end(struct gb_child *child, int status)
{
	struct rpcd *rpcd = (struct rpcd *)((char *)child - offsetof(struct rpcd, child));
	uint64_t now = gb_loop_now(&rpcd->loop);

	child->pid = 0;
	gb_loop_timer_stop(&rpcd->gone_timer);
	rpcd_link_close(&rpcd->link);
	drop_clients(rpcd);
	delivered(rpcd);
	if (rpcd->stopping || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
		gb_loop_stop(&rpcd->loop, 0);
		return;
	}
	if (WIFSIGNALED(status))
		gb_log(GB_LOG_ERR, "front: killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		gb_log(GB_LOG_ERR, "front: ended with status %d", WEXITSTATUS(status));
	if (now - rpcd->restart_since > RESTARTS_MS) {
		rpcd->restart_since = now;
		rpcd->restarts = 0;
	}
	bool again = !(WIFEXITED(status) && WEXITSTATUS(status) == RPCD_FRONT_UNFIT) && ++rpcd->restarts <= RESTARTS;
	if (!again || start_front(rpcd) < 0) {
		gb_log(GB_LOG_ERR, "front: not started again");
		gb_loop_stop(&rpcd->loop, 1);
		return;
	}
	gb_log(GB_LOG_NOTICE, "front: started again");
	/* Sockets it has by birth; ports are free again, and are opened for it. What stdio's peer said is lost. */
	for (int i = 0; i < rpcd->listeners_len; i++) {
		if (rpcd->listeners[i].addr.kind == GB_ADDR_VIRTIO && !rpcd->listeners[i].timer.loop)
			rpcd_reopen(&rpcd->listeners[i]);
	}
}

/* 0 or -errno. The child is made by fork(2) alone, in a restart too, when this process has threads: what it uses of the C
 * library after that is malloc, which is made for it. */
static int start_front(struct rpcd *rpcd)
{
	int pair[2];
	int r = rpcd_link_pair(pair);

	if (r < 0)
		return r;
	pid_t pid = fork();
	if (pid == 0) {
		bool first = rpcd->restarts == 0;
		int status = rpcd_front_run(rpcd, pair[1]);
		if (!first)
			_exit(status); /* what runs at exit(3) may wait for threads that are not here */
		exit(status);
	}
	r = pid < 0 ? -errno : 0;
	(void)close(pair[1]);
	rpcd->link = (struct rpcd_link){ .loop = &rpcd->loop, .word = on_word, .gone = on_gone, .polite = true };
	if (r == 0)
		r = rpcd_link_open(&rpcd->link, pair[0]);
	else
		(void)close(pair[0]);
	if (r == 0) {
		rpcd->child = (struct gb_child){ .fn = on_front_end };
		r = gb_loop_child(&rpcd->loop, &rpcd->child, pid);
	}
	if (r < 0) {
		gb_log(GB_LOG_ERR, "front: %s", strerror(-r));
		if (pid > 0) {
			(void)kill(pid, SIGKILL);
			(void)gb_io_wait(pid, NULL);
		}
		rpcd->child.pid = 0;
		return r;
	}
	for (int i = 0; i < rpcd->listeners_len; i++) {
		struct rpcd_listener *listener = &rpcd->listeners[i];
		if (listener->wfd != listener->rfd)
			gb_close_fd(&listener->wfd);
		gb_close_fd(&listener->rfd);
		listener->rfd = listener->wfd = -1;
	}
	return 0;
}

void rpcd_helper_hand(struct rpcd_listener *listener)
{
	struct rpcd *rpcd = listener->rpcd;
	struct rpcd_word word = { .kind = RPCD_LISTEN, .id = (uint32_t)(listener - rpcd->listeners) };

	if (rpcd->child.pid <= 0)
		return; /* the front will be born with it */
	int fd = gb_take_fd(&listener->rfd);
	listener->wfd = -1;
	if (listener->io.fd >= 0)
		fd = fcntl(listener->io.fd, F_DUPFD_CLOEXEC, 3);
	int r = fd < 0 ? -errno : rpcd_link_send(&rpcd->link, &word, fd);
	if (r < 0) {
		gb_log(GB_LOG_ERR, "%s: %s", listener->name, strerror(-r));
		gb_loop_stop(&rpcd->loop, 1);
	}
	rpcd_tell_ready(rpcd);
}

/* Somebody did not take his last reply in time. */
static void on_stop_timer(struct gb_timer *timer)
{
	struct rpcd *rpcd = (struct rpcd *)((char *)timer - offsetof(struct rpcd, stop_timer));

	gb_loop_stop(&rpcd->loop, 0);
}

void rpcd_helper_finish(struct rpcd *rpcd)
{
	struct rpcd_word word = { .kind = RPCD_STOP };
	struct gb_conn *conn, *next;

	rpcd->stopping = true;
	rpcd_unlisten(rpcd);
	rpcd->stop_timer.fn = on_stop_timer;
	gb_loop_timer(&rpcd->loop, &rpcd->stop_timer, STOP_MS);
	TAILQ_FOREACH_SAFE(conn, &rpcd->conns, link, next) {
		if (conn->stream) /* it has no end of its own that could be waited for */
			gb_conn_end(conn);
	}
	if (rpcd_link_send(&rpcd->link, &word, -1) < 0)
		gb_loop_stop(&rpcd->loop, 0);
}

void rpcd_helper_prepare(struct rpcd *rpcd)
{
	rpcd->host.loop = &rpcd->loop;
	rpcd->host.frame = rpcd_dispatch;
	rpcd->host.closed = on_closed;
	rpcd->host.turned = on_turned;
	STAILQ_INIT(&rpcd->mmaps);
	rpcd->host.idle_ms = rpcd->idle_ms;
	rpcd->host.frame_ms = CHANNEL_MS;
	rpcd->link = (struct rpcd_link){ .loop = &rpcd->loop, .word = on_word, .gone = on_gone, .polite = true };
}

/* ---- our own log ---- */

/* The front writes to the same file, and has no right to open another one. */
static void on_log_timer(struct gb_timer *timer)
{
	struct rpcd *rpcd = (struct rpcd *)((char *)timer - offsetof(struct rpcd, log_timer));
	struct rpcd_word word = { .kind = RPCD_LOG };
	struct stat st;

	gb_loop_timer(&rpcd->loop, timer, LOG_LOOK_MS);
	if (fstat(gb_log_fd(), &st) < 0 || (uint64_t)st.st_size < rpcd->log.max)
		return;
	rpcd->log.fd = fcntl(gb_log_fd(), F_DUPFD_CLOEXEC, 3);
	gb_logfile_aside(&rpcd->log);
	gb_logfile_close(&rpcd->log);
	gb_autoclose int fd = open(rpcd->log.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0640);
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0) /* it goes on where it was, and the next look cuts that off */
		return;
	(void)gb_log_replace(own);
	if (rpcd->child.pid > 0)
		(void)rpcd_link_send(&rpcd->link, &word, gb_take_fd(&fd));
}

int rpcd_helper_run(struct rpcd *rpcd, struct gb_err *err)
{
	rpcd_helper_prepare(rpcd);
	int r = start_front(rpcd);
	if (r < 0)
		return gb_err_set(err, GB_E_SILENT, "front");
	rpcd_tell_ready(rpcd);
	/* Before anything here, or beside, looks at a certificate. */
	char why[128];
	if (rpcd_clock_floor(why, sizeof why) < 0)
		gb_log(GB_LOG_WARNING, "%s", why);
	rpcd_logs_open(rpcd->log_max);
	rpcd->log_timer.fn = on_log_timer;
	if (rpcd->log.path[0])
		gb_loop_timer(&rpcd->loop, &rpcd->log_timer, LOG_LOOK_MS);
	r = rpcd_services_open(rpcd, &rpcd->restart);
	if (r < 0) {
		r = gb_err_sys(err, -r, "services");
	} else {
		rpcd_trim_begin(rpcd);
		rpcd_sandbox_open(rpcd);
		gb_memory_settle();
		r = gb_loop_run(&rpcd->loop);
		if (r < 0)
			r = gb_err_sys(err, -r, "epoll");
		else if (r > 0)
			r = gb_err_set(err, GB_E_SILENT, "a listener or the front failed"); /* which one is in the log */
	}
	rpcd->stopping = true;
	drop_clients(rpcd);
	rpcd_services_close(rpcd);
	rpcd_logs_close();
	if (rpcd->child.pid > 0) {
		(void)kill(rpcd->child.pid, SIGKILL);
		(void)gb_io_wait(rpcd->child.pid, NULL);
		gb_loop_child_forget(&rpcd->child);
		rpcd_link_close(&rpcd->link);
	}
	return r;
}
