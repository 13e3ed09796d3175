/* SPDX-License-Identifier: MIT */
/* bench/proxy's other half: a target, a load and the clocks, for a direct unix connection and for proxies in between. */
#define _GNU_SOURCE
#include <err.h>
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
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BIG = 1 << 20, SMALL = 4096, WAYS = 5, ROUNDS_MAX = 99, PIPE = 256 * 1024 };

static const char *const names[WAYS] = { "direct", "splice alone", "guestbox", "socat", "socat -b 262144" };
static char dir[64], target_path[96];
static const char *guestbox;
static FILE *samples; /* for bench_results of lib.bash: what, unit, who, value */
static unsigned char buffer[BIG];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static struct sockaddr_un name_of(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
	return un;
}

static int listen_on(const char *path)
{
	struct sockaddr_un un = name_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un) < 0 || listen(fd, SOMAXCONN) < 0)
		err(1, "%s", path);
	return fd;
}

static int connect_to(const char *path)
{
	struct sockaddr_un un = name_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	for (int i = 0; connect(fd, (struct sockaddr *)&un, sizeof un) < 0; i++) {
		if ((errno != ENOENT && errno != ECONNREFUSED) || i > 5000)
			err(1, "connect %s", path);
		usleep(1000);
	}
	return fd;
}

/* What each connection wants is its first byte: 's' counts to the end and answers with the count, 'e' sends back. */
static void target(void)
{
	static unsigned char mode[1 << 17];
	static uint64_t count[1 << 17];
	struct epoll_event ev[64], add = { .events = EPOLLIN };
	int listener = listen_on(target_path), ep = epoll_create1(0);

	add.data.fd = listener;
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &add);
	for (;;) {
		int n = epoll_wait(ep, ev, 64, -1);
		for (int i = 0; i < n; i++) {
			int fd = ev[i].data.fd;
			if (fd == listener) {
				fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
				if (fd < 0 || fd >= 1 << 17)
					err(1, "accept");
				mode[fd] = 0;
				count[fd] = 0;
				add.data.fd = fd;
				epoll_ctl(ep, EPOLL_CTL_ADD, fd, &add);
				continue;
			}
			ssize_t got = read(fd, buffer, sizeof buffer);
			unsigned char *at = buffer;
			if (got > 0 && !mode[fd]) {
				mode[fd] = *at++;
				got--;
				if (got == 0)
					continue;
			}
			if (got > 0) {
				count[fd] += (uint64_t)got;
				if (mode[fd] == 'e' && write(fd, at, (size_t)got) != got)
					err(1, "echo");
				continue;
			}
			if (got == 0 && mode[fd] == 's' && write(fd, &count[fd], 8) != 8)
				warn("count");
			close(fd);
		}
	}
}

/* The least that splice(2) can do: one connection, blocking, one direction and the answer. */
static void splice_alone(const char *path)
{
	int listener = listen_on(path), pipes[2];

	for (;;) {
		int a = accept4(listener, NULL, NULL, SOCK_CLOEXEC), b = connect_to(target_path);
		if (a < 0 || pipe(pipes) < 0)
			err(1, "splice alone");
		fcntl(pipes[1], F_SETPIPE_SZ, PIPE);
		struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
		for (bool open = true; open;) {
			poll(p, 2, -1);
			for (int i = 0; i < 2; i++) {
				if (!p[i].revents)
					continue;
				ssize_t n = splice(p[i].fd, NULL, pipes[1], NULL, PIPE, 0);
				if (n <= 0 && i == 1)
					open = false;
				if (n <= 0) {
					shutdown(b, SHUT_WR);
					p[0].fd = -1;
				}
				while (n > 0) {
					ssize_t m = splice(pipes[0], NULL, i ? a : b, NULL, (size_t)n, 0);
					if (m <= 0)
						break;
					n -= m;
				}
			}
		}
		close(a);
		close(b);
		close(pipes[0]);
		close(pipes[1]);
	}
}

static pid_t start(int way, const char *path, bool fork_each)
{
	char from[160], to[160];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a bench that fails leaves nothing running */
	unlink(path);
	switch (way) {
	case 1: splice_alone(path); break;
	case 2:
		snprintf(from, sizeof from, "unix:%s=unix:%s", path, target_path);
		snprintf(to, sizeof to, "unix:%s/rpc", dir);
		setenv("GUESTBOX_LOG", "err", 1);
		execl(guestbox, "guestbox", "vsock-rpcd", "--listen", to, "--proxy", from, "--proxy-connections", "10100", NULL);
		err(1, "%s", guestbox);
	default:
		snprintf(from, sizeof from, "UNIX-LISTEN:%s,backlog=4096%s", path, fork_each ? ",fork" : "");
		snprintf(to, sizeof to, "UNIX-CONNECT:%s", target_path);
		if (way == 3)
			execlp("socat", "socat", "-t", "60", from, to, NULL);
		else
			execlp("socat", "socat", "-t", "60", "-b", "262144", from, to, NULL);
		err(1, "socat");
	}
	_exit(1);
}

/* CPU seconds of a process that has ended; it is ended here unless it does so by itself. */
static double stop(pid_t pid, bool by_itself)
{
	struct rusage usage;

	if (!by_itself)
		kill(pid, SIGTERM);
	if (wait4(pid, NULL, 0, &usage) < 0)
		err(1, "wait");
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void path_of(int way, char *path, size_t size)
{
	if (way == 0)
		snprintf(path, size, "%s", target_path);
	else
		snprintf(path, size, "%s/p%d", dir, way);
	if (way)
		unlink(path);
}

/* MiB/s, and CPU seconds of the proxy per GiB. */
static double throughput(int way, size_t size, uint64_t bytes, double *ret_cpu)
{
	char path[96];
	uint64_t count = 0;

	path_of(way, path, sizeof path);
	pid_t pid = way ? start(way, path, false) : 0;
	int fd = connect_to(path);
	double began = now();
	if (write(fd, "s", 1) != 1)
		err(1, "write");
	for (uint64_t left = bytes; left > 0;) {
		ssize_t n = write(fd, buffer, left < size ? left : size);
		if (n < 0)
			err(1, "%s: write", names[way]);
		left -= (uint64_t)n;
	}
	shutdown(fd, SHUT_WR);
	if (read(fd, &count, 8) != 8 || count != bytes)
		errx(1, "%s: %llu of %llu bytes arrived", names[way], (unsigned long long)count, (unsigned long long)bytes);
	double took = now() - began;
	close(fd);
	*ret_cpu = pid ? stop(pid, way >= 3) / ((double)bytes / (1 << 30)) : 0;
	return (double)bytes / BIG / took;
}

/* Microseconds a round trip of 64 bytes. */
static double latency(int way, int times)
{
	char path[96], b[64] = { 'e' };

	path_of(way, path, sizeof path);
	pid_t pid = way ? start(way, path, false) : 0;
	int fd = connect_to(path);
	if (write(fd, "e", 1) != 1)
		err(1, "write");
	double began = now();
	for (int i = 0; i < times; i++) {
		if (write(fd, b, sizeof b) != (ssize_t)sizeof b || recv(fd, b, sizeof b, MSG_WAITALL) != (ssize_t)sizeof b)
			err(1, "%s: round trip", names[way]);
	}
	double took = now() - began;
	close(fd);
	if (pid)
		(void)stop(pid, way >= 3);
	return took / times * 1e6;
}

/* Connections a second: each is made, answers a byte, and is closed. */
static double connections(int way, int times)
{
	char path[96], c;

	path_of(way, path, sizeof path);
	pid_t pid = way ? start(way, path, true) : 0;
	close(connect_to(path));
	double began = now();
	for (int i = 0; i < times; i++) {
		int fd = connect_to(path);
		if (write(fd, "ex", 2) != 2 || read(fd, &c, 1) != 1)
			err(1, "%s: connection", names[way]);
		close(fd);
	}
	double took = now() - began;
	if (pid)
		(void)stop(pid, false);
	return times / took;
}

static long status_of(pid_t pid, const char *key)
{
	char path[64], line[256];
	long value = -1;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		if (strncmp(line, key, strlen(key)) == 0)
			value = atol(line + strlen(key));
	}
	if (f)
		fclose(f);
	return value;
}

static void many(int n)
{
	char path[96], c;
	int *fds = calloc((size_t)n, sizeof *fds);

	path_of(2, path, sizeof path);
	pid_t pid = start(2, path, false);
	close(connect_to(path));
	long before = status_of(pid, "VmRSS:");
	for (int i = 0; i < n; i++) {
		fds[i] = connect_to(path);
		if (write(fds[i], "ex", 2) != 2 || read(fds[i], &c, 1) != 1)
			err(1, "connection %d", i);
	}
	printf("%d open connections that have been used: %.1f MiB resident (before: %.1f MiB)\n", n,
	       (double)status_of(pid, "VmRSS:") / 1024, (double)before / 1024);
	fprintf(samples, "relay, memory of %d connections\tMiB\tguestbox\t%f\n", n, (double)status_of(pid, "VmRSS:") / 1024);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	(void)stop(pid, false);
	free(fds);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof *values, by_value);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static void note(const char *what, const char *unit, int way, const double *values, int n)
{
	for (int i = 0; i < n; i++)
		fprintf(samples, "%s\t%s\t%s\t%f\n", what, unit, names[way], values[i]);
}

int main(int argc, char **argv)
{
	static double rate[2][WAYS][ROUNDS_MAX], cpu[2][WAYS][ROUNDS_MAX], trip[WAYS][ROUNDS_MAX], conns[WAYS][ROUNDS_MAX];
	struct rlimit files = { 65536, 65536 };

	if (argc != 5)
		errx(2, "usage: proxy-load GUESTBOX FOLDER ROUNDS SAMPLES");
	guestbox = argv[1];
	int rounds = atoi(argv[3]);
	if (rounds < 1 || rounds > ROUNDS_MAX)
		errx(2, "rounds: 1 to %d", ROUNDS_MAX);
	snprintf(dir, sizeof dir, "%s", argv[2]);
	snprintf(target_path, sizeof target_path, "%s/target", dir);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	pid_t server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		target();
	}
	for (int r = 0; r < rounds; r++) {
		for (int way = 0; way < WAYS; way++) {
			rate[0][way][r] = throughput(way, BIG, 1ULL << 30, &cpu[0][way][r]);
			rate[1][way][r] = throughput(way, SMALL, 1ULL << 28, &cpu[1][way][r]);
			trip[way][r] = latency(way, 10000);
			if (way != 1)
				conns[way][r] = connections(way, way > 2 ? 200 : 4000);
		}
	}
	samples = fopen(argv[4], "we");
	if (!samples)
		err(1, "%s", argv[4]);
	for (int way = 0; way < WAYS; way++) {
		note("relay, 1 MiB writes", "MiB/s", way, rate[0][way], rounds);
		note("relay, 4 KiB writes", "MiB/s", way, rate[1][way], rounds);
		note("relay, 64 bytes there and back", "us", way, trip[way], rounds);
		if (way != 1)
			note("relay, new connections", "connections/s", way, conns[way], rounds);
	}
	double m[6][WAYS];
	for (int way = 0; way < WAYS; way++) {
		for (int k = 0; k < 2; k++) {
			m[k][way] = median(rate[k][way], rounds);
			m[2 + k][way] = median(cpu[k][way], rounds);
		}
		m[4][way] = median(trip[way], rounds);
		m[5][way] = median(conns[way], rounds);
	}
	printf("median of %d rounds; CPU is the proxy's own\n\n", rounds);
	printf("%-16s %18s %18s %16s %14s\n", "", "1 MiB writes", "4 KiB writes", "64 byte trip", "connections");
	printf("%-16s %9s %8s %9s %8s %16s %14s\n", "", "MiB/s", "s/GiB", "MiB/s", "s/GiB", "us", "a second");
	for (int way = 0; way < WAYS; way++) {
		printf("%-16s %9.0f %8.2f %9.0f %8.2f %16.1f ", names[way], m[0][way], m[2][way], m[1][way], m[3][way], m[4][way]);
		if (way == 1)
			printf("%14s\n", "-");
		else
			printf("%14.0f\n", m[5][way]);
	}
	printf("\nguestbox: %.2f of splice alone at 1 MiB, %.2f at 4 KiB; %.2f and %.2f times socat; with socat's buffer at 256 KiB "
	       "%.2f and %.2f\n", m[0][2] / m[0][1], m[1][2] / m[1][1], m[0][2] / m[0][3], m[1][2] / m[1][3], m[0][2] / m[0][4],
	       m[1][2] / m[1][4]);
	printf("added latency: guestbox %.1f us, socat %.1f us\n", m[4][2] - m[4][0], m[4][3] - m[4][0]);
	/* The proxy needs two descriptors a connection. */
	(void)getrlimit(RLIMIT_NOFILE, &files);
	many(files.rlim_max >= 20500 ? 10000 : (int)(files.rlim_max - 500) / 2);
	kill(server, SIGKILL);
	return fclose(samples) ? 1 : 0;
}
