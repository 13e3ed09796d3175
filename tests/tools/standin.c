/* SPDX-License-Identifier: MIT */
/* Stands in for containerd, dockerd and k3s in tests: by its name, it has their sockets, files and timing. Files in
 * $STANDIN say how it behaves; what it does is a line each in $STANDIN/events.
 *   NAME.exit    ends at once with this status
 *   NAME.hold    does not serve as long as the file is there
 *   NAME.term    takes so many ms to end after SIGTERM
 *   NAME.linger  does not end after SIGTERM as long as the file is there
 *   NAME.mute    takes connections and answers nothing (dockerd: /_ping; k3s: /readyz says no)
 *   NAME.lines   prints so many lines at each SIGUSR1
 * k3s also starts a pod when there is k3s.pod: a process in the cgroup kubepods/pod1, which ignores SIGTERM when the file
 * says so, and in containerd's cgroup, as that has them, a shim of its name space and one of Docker's. `k3s ctr` works on the
 * files of $STANDIN/ctr, and fails where k3s.ctrfail names the kind and the verb. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *dir, *name;

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static const char *file(const char *what)
{
	static char path[256];

	(void)snprintf(path, sizeof path, "%s/%s.%s", dir, name, what);
	return path;
}

static void event(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void event(const char *fmt, ...)
{
	char line[1024], path[256];
	struct timespec ts;
	va_list ap;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	int n = snprintf(line, sizeof line, "%lld ", (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
	va_end(ap);
	line[n++] = '\n';
	(void)snprintf(path, sizeof path, "%s/events", dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		die(path);
	(void)close(fd);
}

/* The number in a file of ours, or -1 when there is none. */
static int number(const char *what)
{
	FILE *f = fopen(file(what), "re");
	int n = 0;

	if (!f)
		return -1;
	if (fscanf(f, "%d", &n) != 1)
		n = 0;
	(void)fclose(f);
	return n;
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		die(path);
}

static void nap(int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* ---- k3s's other lives ---- */

/* ctr on $STANDIN/ctr: a file for each kind of thing, a name a line. A name space with anything in it cannot be removed. */
static int ctr(int argc, char **argv)
{
	static const char *const kinds[] = { "tasks", "containers", "images", "snapshots", "leases", "content" };
	char path[256], all[1024] = "";
	struct stat st;
	int i = 1;

	for (int k = 1; k < argc; k++) {
		(void)strncat(all, " ", sizeof all - strlen(all) - 1);
		(void)strncat(all, argv[k], sizeof all - strlen(all) - 1);
	}
	event("ctr%s", all);
	while (i < argc && argv[i][0] == '-')
		i += 2; /* each with its argument */
	if (i + 1 >= argc)
		return 2;
	const char *kind = argv[i], *verb = argv[i + 1];
	if (strcmp(kind, "namespaces") == 0) {
		for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
			(void)snprintf(path, sizeof path, "%s/ctr/%s", dir, kinds[k]);
			if (stat(path, &st) == 0 && st.st_size > 0) {
				fprintf(stderr, "ctr: namespace \"k8s.io\" must be empty, but it still has %s\n", kinds[k]);
				return 1;
			}
		}
		return 0;
	}
	FILE *f = fopen(file("ctrfail"), "re");
	char fails[64] = "";
	if (f && !fgets(fails, sizeof fails, f))
		fails[0] = '\0';
	if (f)
		(void)fclose(f);
	(void)snprintf(path, sizeof path, "%s %s\n", kind, verb);
	if (strcmp(fails, path) == 0) {
		fprintf(stderr, "ctr: a first line\nctr: %s cannot be had\n", kind);
		return 1;
	}
	(void)snprintf(path, sizeof path, "%s/ctr/%s", dir, kind);
	f = fopen(path, "re");
	char lines[64][128];
	int n = 0;
	while (f && n < 64 && fgets(lines[n], sizeof lines[0], f)) {
		lines[n][strcspn(lines[n], "\n")] = '\0';
		n += lines[n][0] != '\0';
	}
	if (f)
		(void)fclose(f);
	if (strcmp(verb, "ls") == 0) {
		bool quiet = i + 2 < argc && strcmp(argv[i + 2], "-q") == 0;
		if (!quiet)
			puts("KEY    PARENT    KIND");
		for (int k = 0; k < n; k++)
			puts(lines[k]);
		return 0;
	}
	int failed = 0;
	for (int k = i + 2; k < argc; k++) {
		size_t len = strlen(argv[k]);
		if (argv[k][0] == '-')
			continue;
		/* A snapshot that another stands on stays. */
		for (int l = 0; l < n; l++) {
			const char *parent = strchr(lines[l], ' ');
			if (parent && strcmp(parent + strspn(parent, " "), argv[k]) == 0) {
				fprintf(stderr, "ctr: cannot remove snapshot with child\n");
				failed = 1;
				len = 0;
			}
		}
		for (int l = 0; len && l < n; l++) {
			if (strncmp(lines[l], argv[k], len) == 0 && (lines[l][len] == '\0' || lines[l][len] == ' ')) {
				memmove(&lines[l], &lines[l + 1], (size_t)(n - l - 1) * sizeof lines[0]);
				n--;
				break;
			}
		}
	}
	f = fopen(path, "we");
	if (!f)
		die(path);
	for (int l = 0; l < n; l++)
		fprintf(f, "%s\n", lines[l]);
	(void)fclose(f);
	return failed;
}

static int kubectl(void)
{
	if (number("mute") >= 0) {
		puts("[-]etcd failed: reason withheld");
		return 1;
	}
	printf("ok");
	return 0;
}

/* A process by itself, in a cgroup, with any command line. */
static void spawn(const char *group, char *const *argv, bool stubborn)
{
	if (fork() != 0)
		return;
	if (fork() != 0)
		_exit(0);
	(void)setsid();
	sigset_t none;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGTERM, stubborn ? SIG_IGN : SIG_DFL);
	int fd = open(group, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		die(group);
	(void)close(fd);
	(void)execv("/proc/self/exe", argv);
	die("exec");
}

static void pod(void)
{
	static char *const in_pod[] = { (char *)(uintptr_t)"pod-process", NULL };
	static char *const shim[] = { (char *)(uintptr_t)"containerd-shim-runc-v2", (char *)(uintptr_t)"-namespace",
				      (char *)(uintptr_t)"k8s.io", (char *)(uintptr_t)"-id", (char *)(uintptr_t)"abc", NULL };
	static char *const other[] = { (char *)(uintptr_t)"containerd-shim-runc-v2", (char *)(uintptr_t)"-namespace",
				       (char *)(uintptr_t)"moby", (char *)(uintptr_t)"-id", (char *)(uintptr_t)"k8s.io", NULL };

	if (mkdir("/sys/fs/cgroup/kubepods", 0755) < 0 && errno != EEXIST)
		die("kubepods");
	if (mkdir("/sys/fs/cgroup/kubepods/pod1", 0755) < 0 && errno != EEXIST)
		die("pod1");
	spawn("/sys/fs/cgroup/kubepods/pod1/cgroup.procs", in_pod, number("pod") > 0);
	spawn("/sys/fs/cgroup/guestbox-containerd/cgroup.procs", shim, true);
	spawn("/sys/fs/cgroup/guestbox-containerd/cgroup.procs", other, true);
}

/* ---- a daemon ---- */

static int listen_unix(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)strncpy(addr.sun_path, path, sizeof addr.sun_path - 1);
	(void)unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 16) < 0)
		die(path);
	return fd;
}

static int listen_tcp(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(6443), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 16) < 0)
		die("127.0.0.1:6443");
	return fd;
}

static void serve(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char request[1024];

	if (fd < 0)
		return;
	if (strcmp(name, "dockerd") == 0 && number("mute") < 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		/* A probe of the socket alone says nothing and goes. */
		if (poll(&p, 1, 5000) > 0 && read(fd, request, sizeof request) > 0 &&
		    write(fd, "HTTP/1.1 200 OK\r\n\r\nOK", 21) != 21)
			event("%s unanswered", name);
	}
	(void)close(fd);
}

static void end(void)
{
	int ms = number("term");

	event("term %s", name);
	if (ms > 0)
		nap(ms);
	while (number("linger") >= 0)
		nap(10);
	event("end %s", name);
	exit(0);
}

int main(int argc, char **argv)
{
	char pid[16], args[2048] = "";
	int listener = -1;
	sigset_t set;

	name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	if (strcmp(name, "pod-process") == 0 || strcmp(name, "containerd-shim-runc-v2") == 0) {
		(void)prctl(PR_SET_NAME, name);
		for (;;)
			pause();
	}
	dir = getenv("STANDIN");
	if (!dir)
		die("STANDIN");
	if (strcmp(name, "k3s") == 0 && argc > 1 && strcmp(argv[1], "ctr") == 0)
		return ctr(argc - 1, argv + 1);
	if (strcmp(name, "k3s") == 0 && argc > 1 && strcmp(argv[1], "kubectl") == 0)
		return kubectl();
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	int signals = signalfd(-1, &set, SFD_CLOEXEC);
	for (int i = 1; i < argc; i++) {
		(void)strncat(args, i > 1 ? " " : "", sizeof args - strlen(args) - 1);
		(void)strncat(args, argv[i], sizeof args - strlen(args) - 1);
	}
	(void)snprintf(pid, sizeof pid, "%d\n", (int)getpid());
	put(file("args"), args);
	put(file("path"), getenv("PATH") ? getenv("PATH") : "");
	put(file("pid"), pid);
	event("start %s", name);
	printf("%s begins\n", name);
	(void)fflush(stdout);
	if (number("exit") >= 0)
		return number("exit");
	for (;;) {
		if (listener < 0 && number("hold") < 0) {
			if (strcmp(name, "containerd") == 0) {
				listener = listen_unix("/run/containerd/containerd.sock");
			} else if (strcmp(name, "dockerd") == 0) {
				listener = listen_unix("/var/run/docker.sock");
			} else {
				put("/var/lib/rancher/k3s/k3s.yaml",
					"clusters:\n- cluster:\n    server: https://127.0.0.1:6443\n  name: default\n");
				listener = listen_tcp();
				if (number("pod") >= 0)
					pod();
			}
			event("serve %s", name);
		}
		struct pollfd fds[] = { { .fd = signals, .events = POLLIN }, { .fd = listener, .events = POLLIN } };
		(void)poll(fds, listener < 0 ? 1 : 2, listener < 0 ? 10 : -1);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (fds[0].revents) {
			struct signalfd_siginfo info;
			if (read(signals, &info, sizeof info) != (ssize_t)sizeof info || info.ssi_signo == SIGTERM)
				end();
			int lines = number("lines");
			for (int i = 1; i <= lines; i++)
				printf("%s line %d of %d\n", name, i, lines);
			(void)fflush(stdout);
			event("printed %s", name);
		}
		if (listener >= 0 && fds[1].revents)
			serve(listener);
	}
}
