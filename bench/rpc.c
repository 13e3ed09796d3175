/* SPDX-License-Identifier: MIT */
/* The ends that bench/rpc and tests/torture/rpc use: a bare echo server of the daemon's loop shape, clients that measure and
 * that hold connections. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <linux/vm_sockets.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A path, vsock:CID:PORT, or fc:PATH:PORT: a port behind the greeting of a hybrid vsock. */
union address {
	struct sockaddr sa;
	struct sockaddr_un un;
	struct sockaddr_vm vm;
};

static int stream(const char *text, union address *address)
{
	unsigned cid, port;

	memset(address, 0, sizeof *address);
	if (sscanf(text, "vsock:%u:%u", &cid, &port) == 2) {
		address->vm = (struct sockaddr_vm){ .svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port };
	} else {
		address->un.sun_family = AF_UNIX;
		(void)snprintf(address->un.sun_path, sizeof address->un.sun_path, "%s", text);
	}
	return socket(address->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static socklen_t length(const union address *address)
{
	return address->sa.sa_family == AF_VSOCK ? sizeof address->vm : sizeof address->un;
}

/* A connected stream, or -1. */
static int dial(const char *text)
{
	union address address;
	char path[sizeof address.un.sun_path], byte;
	unsigned port = 0;

	if (sscanf(text, "fc:%107[^:]:%u", path, &port) == 2)
		text = path;
	int s = stream(text, &address);
	if (s < 0 || connect(s, &address.sa, length(&address)) < 0)
		return -1;
	if (!port)
		return s;
	if (dprintf(s, "CONNECT %u\n", port) < 0)
		return -1;
	do {
		if (recv(s, &byte, 1, 0) != 1)
			return -1;
	} while (byte != '\n');
	return s;
}

static double now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* epoll_wait, recv, send: nothing else. */
static int echo(const char *path)
{
	static char buf[65536];
	union address un;
	int s = stream(path, &un), ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = s };

	if (s < 0 || ep < 0 || bind(s, &un.sa, length(&un)) < 0 || listen(s, 16) < 0 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, s, &event) < 0)
		return 1;
	for (;;) {
		struct epoll_event events[32];
		int n = epoll_wait(ep, events, 32, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == s) {
				event.data.fd = accept4(s, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
				(void)epoll_ctl(ep, EPOLL_CTL_ADD, event.data.fd, &event);
				continue;
			}
			ssize_t r = recv(events[i].data.fd, buf, sizeof buf, MSG_DONTWAIT);
			if (r <= 0) {
				(void)close(events[i].data.fd);
				continue;
			}
			for (ssize_t at = 0; at < r;) {
				ssize_t w = send(events[i].data.fd, buf + at, (size_t)(r - at), MSG_NOSIGNAL);
				if (w < 0)
					break;
				at += w;
			}
		}
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Whole frames in buf: their number; *len is what is left, moved to the front. */
static int frames(unsigned char *buf, size_t *len)
{
	size_t at = 0;
	int n = 0;

	while (*len - at >= 4) {
		size_t size = 4 + ((size_t)buf[at] << 24 | (size_t)buf[at + 1] << 16 | (size_t)buf[at + 2] << 8 | buf[at + 3]);
		if (*len - at < size)
			break;
		at += size;
		n++;
	}
	memmove(buf, buf + at, *len - at);
	*len -= at;
	return n;
}

/* count pings, depth of them under way at once. */
static int ping(const char *path, int count, int depth)
{
	static const unsigned char request[] = { 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0x0a, 2, 'h', 'i' };
	static unsigned char in[1 << 17], out[sizeof request * 1024];
	int s = dial(path), sent = 0, got = 0;
	double *times = calloc((size_t)count, sizeof *times);
	size_t len = 0;

	if (!times || depth > 1024 || s < 0)
		return 1;
	for (int i = 0; i < 1024; i++)
		memcpy(out + (size_t)i * sizeof request, request, sizeof request);
	double start = now(), since = start;
	while (got < count) {
		int burst = depth - (sent - got);
		burst = burst > count - sent ? count - sent : burst;
		if (burst) {
			since = now();
			if (send(s, out, (size_t)burst * sizeof request, MSG_NOSIGNAL) < 0)
				return 1;
			sent += burst;
		}
		while (sent - got > depth / 2 || (sent == count && got < count)) {
			ssize_t r = recv(s, in + len, sizeof in - len, 0);
			if (r <= 0)
				return 1;
			len += (size_t)r;
			int n = frames(in, &len);
			for (int i = 0; i < n && got < count; i++)
				times[got++] = now() - since;
		}
	}
	double all = now() - start;
	qsort(times, (size_t)count, sizeof *times, compare);
	printf("p50 %.1f us, p99 %.1f us, most %.1f us, %.0f requests/s\n", times[count / 2], times[(size_t)count * 99 / 100],
	       times[count - 1], count / (all / 1e6));
	return 0;
}

/* From fork(2) to the line on descriptor 3 that says it listens. */
static int start(char **argv)
{
	double times[101];
	int pipes[2];
	char line[16];

	for (int i = 0; i < 101; i++) {
		if (pipe2(pipes, O_CLOEXEC) < 0)
			return 1;
		double since = now();
		pid_t pid = fork();
		if (pid == 0) {
			if (dup2(pipes[1], 3) == 3)
				(void)execv(argv[0], argv);
			_exit(127);
		}
		(void)close(pipes[1]);
		if (pid < 0 || read(pipes[0], line, sizeof line) <= 0)
			return 1;
		times[i] = now() - since;
		(void)close(pipes[0]);
		(void)kill(pid, SIGTERM);
		(void)waitpid(pid, NULL, 0);
	}
	qsort(times, 101, sizeof *times, compare);
	printf("p50 %.2f ms, p99 %.2f ms\n", times[50] / 1e3, times[99] / 1e3);
	return 0;
}

/* count connections, each with a drop of a frame now and then, until stdin ends. */
static int hold(const char *path, int count)
{
	struct pollfd in = { .fd = 0, .events = POLLIN };
	int *fds = calloc((size_t)count, sizeof *fds);
	struct rlimit limit;

	if (!fds || getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < count; i++) {
		fds[i] = dial(path);
		if (fds[i] < 0)
			return 1;
		(void)send(fds[i], "\0\1", 2, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	puts("held");
	(void)fflush(stdout);
	while (poll(&in, 1, 20) == 0) {
		for (int i = 0; i < count; i++)
			(void)send(fds[i], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	return 0;
}

/* count pings whose bytes are sent one by one. */
static int flood(const char *path, int count)
{
	static const unsigned char request[] = { 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0x0a, 2, 'h', 'i' };
	static unsigned char in[1 << 16];
	int s = dial(path), got = 0;
	size_t len = 0;

	if (s < 0)
		return 1;
	for (int i = 0; i < count; i++) {
		for (size_t k = 0; k < sizeof request; k++) {
			if (send(s, request + k, 1, MSG_NOSIGNAL) != 1)
				return 1;
		}
		while (got <= i) {
			ssize_t r = recv(s, in + len, sizeof in - len, 0);
			if (r <= 0)
				return 1;
			len += (size_t)r;
			got += frames(in, &len);
		}
	}
	return 0;
}

/* stdin to it, and what comes back to stdout, each to its end; or, for a device without half-closes, count bytes of that. */
static int raw(const char *path, long count)
{
	static char buf[65536], back[65536];
	int s = dial(path);
	ssize_t left = 0, at = 0;
	bool ended = false;

	if (s < 0 || fcntl(s, F_SETFL, O_NONBLOCK) < 0)
		return 1;
	for (;;) {
		struct pollfd p[] = { { .fd = ended || at < left ? -1 : 0, .events = POLLIN },
				      { .fd = s, .events = (short)(POLLIN | (at < left ? POLLOUT : 0)) } };
		if (poll(p, 2, -1) < 0)
			return 1;
		if (p[0].revents) {
			at = 0;
			left = read(0, buf, sizeof buf);
			ended = left <= 0;
			if (ended && count < 0 && shutdown(s, SHUT_WR) < 0)
				return 1;
		}
		if (at < left) {
			ssize_t n = send(s, buf + at, (size_t)(left - at), MSG_NOSIGNAL);
			if (n < 0 && errno != EAGAIN)
				return 1;
			at += n > 0 ? n : 0;
		}
		ssize_t n = recv(s, back, sizeof back, 0);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EAGAIN)
			return 1;
		for (ssize_t done = 0, w; done < n; done += w) {
			w = write(1, back + done, (size_t)(n - done));
			if (w <= 0)
				return 1;
		}
		count -= count > 0 && n > 0 ? n : 0;
		if (count == 0)
			return 0;
	}
}

int main(int argc, char **argv)
{
	if ((argc == 3 || argc == 4) && strcmp(argv[1], "raw") == 0)
		return raw(argv[2], argc == 4 ? atol(argv[3]) : -1);
	if (argc == 4 && strcmp(argv[1], "flood") == 0)
		return flood(argv[2], atoi(argv[3]));
	if (argc > 2 && strcmp(argv[1], "start") == 0)
		return start(argv + 2);
	if (argc == 4 && strcmp(argv[1], "hold") == 0)
		return hold(argv[2], atoi(argv[3]));
	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		return echo(argv[2]);
	if (argc == 5 && strcmp(argv[1], "ping") == 0)
		return ping(argv[2], atoi(argv[3]), atoi(argv[4]));
	fprintf(stderr, "usage: rpc echo PATH | ping PATH COUNT DEPTH | start PROGRAM ARG... | hold PATH COUNT | "
			"flood PATH COUNT | raw PATH [COUNT]\n");
	return 2;
}
