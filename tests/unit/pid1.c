/* SPDX-License-Identifier: MIT */
/* guest-init as PID 1 of a machine that is played: what it says, starts and ends. The linker puts functions of this file in
 * the place of all that would reach the real machine (--wrap). */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

/* The applet itself: what it keeps to itself is what is tested. */
#include "applets/guest-init.c"

static char dir[] = "/tmp/gb-unit-pid1-XXXXXX";

/* How the machine is, and what has been done to it: a line each in the file "done" (children do things, too). */
static struct {
	bool machine, own_init, vdb, ports;
	const char *data;     /* the setting of the data disk, or NULL */
	int unmounted;        /* pseudo file systems that fail */
	int disk_status;      /* how btrfs-bootstrap ends */
	bool deaf;            /* the daemon never says that it listens */
	bool pending;         /* a power-off is under way */
	unsigned begin_fails; /* so many times, with this error */
	int begin_error;
	int no_signalfd, no_pipe; /* errno */
} played;

static void did(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void did(const char *fmt, ...)
{
	va_list ap;
	gb_autoclose int fd = open(unit_path(dir, "done"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	va_start(ap, fmt);
	if (fd < 0 || vdprintf(fd, fmt, ap) < 0)
		_exit(98);
	va_end(ap);
}

/* All that was done since the last look. */
static const char *done(void)
{
	static char all[4096];
	gb_autobuf struct gb_buf text = { 0 };

	(void)gb_io_slurp(AT_FDCWD, unit_path(dir, "done"), sizeof all - 1, &text);
	(void)snprintf(all, sizeof all, "%s", gb_buf_text(&text));
	(void)unlink(unit_path(dir, "done"));
	return all;
}

/* Whether that line comes within two minutes. */
static bool comes(const char *line)
{
	for (int i = 0; i < 12000; i++) {
		gb_autobuf struct gb_buf text = { 0 };

		if (gb_io_slurp(AT_FDCWD, unit_path(dir, "done"), 65536, &text) == 0 && strstr(gb_buf_text(&text), line))
			return true;
		(void)nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	return false;
}

pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void) { return 1; }
bool __wrap_gb_proc_is_machine(void);
bool __wrap_gb_proc_is_machine(void) { return played.machine; }
int __wrap_reboot(int how);
int __wrap_reboot(int how) { did("reboot %x\n", how); return 0; }

int __real_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig);
int __wrap_kill(pid_t pid, int sig)
{
	if (pid > 1)
		return __real_kill(pid, sig);
	did("kill %d %d\n", pid, sig);
	return 0;
}

int __real_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	return __real_poll(fds, count, !fds || (played.deaf && timeout == 10000) ? 0 : timeout);
}

int __real_signalfd(int fd, const sigset_t *set, int flags);
int __wrap_signalfd(int fd, const sigset_t *set, int flags);
int __wrap_signalfd(int fd, const sigset_t *set, int flags)
{
	errno = played.no_signalfd;
	return played.no_signalfd ? -1 : __real_signalfd(fd, set, flags);
}

int __real_pipe2(int fds[2], int flags);
int __wrap_pipe2(int fds[2], int flags);
int __wrap_pipe2(int fds[2], int flags)
{
	errno = played.no_pipe;
	return played.no_pipe ? -1 : __real_pipe2(fds, flags);
}

int __real_gb_log_open(const char *target, struct gb_err *err);
int __wrap_gb_log_open(const char *target, struct gb_err *err);
int __wrap_gb_log_open(const char *target, struct gb_err *err)
{
	return strcmp(target, "kmsg") == 0 ? 0 : __real_gb_log_open(target, err);
}

/* ---- the machine's files ---- */

int __real_access(const char *path, int how);
int __wrap_access(const char *path, int how);
int __wrap_access(const char *path, int how)
{
	if (strcmp(path, "/init") == 0 || strcmp(path, "/dev/vdb") == 0) {
		errno = ENOENT;
		return (path[1] == 'i' ? played.own_init : played.vdb) ? 0 : -1;
	}
	return __real_access(path, how);
}

static const char class[] = "/sys/class/virtio-ports";

DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
DIR *__wrap_opendir(const char *path)
{
	if (strcmp(path, class) != 0)
		return __real_opendir(path);
	errno = ENOENT;
	return played.ports ? __real_opendir(dir) : NULL;
}

int __real_gb_io_slurp(int at, const char *path, size_t most, struct gb_buf *ret);
int __wrap_gb_io_slurp(int at, const char *path, size_t most, struct gb_buf *ret);
int __wrap_gb_io_slurp(int at, const char *path, size_t most, struct gb_buf *ret)
{
	if (strncmp(path, class, sizeof class - 1) == 0)
		path = unit_path(dir, path + sizeof class);
	return __real_gb_io_slurp(at, path, most, ret);
}

int __real_gb_io_put(int at, const char *path, const char *text);
int __wrap_gb_io_put(int at, const char *path, const char *text);
int __wrap_gb_io_put(int at, const char *path, const char *text)
{
	if (strcmp(path, "/dev/kmsg") == 0)
		did("%s", text);
	else if (strncmp(path, "/proc/sys/", 10) == 0)
		did("%s %s", path + 10, text);
	else
		return __real_gb_io_put(at, path, text);
	return 0;
}

int __wrap_gb_mount_pseudo(const char *root, void (*report)(const char *text));
int __wrap_gb_mount_pseudo(const char *root, void (*report)(const char *text))
{
	assert_string_equal(root, "");
	for (int i = 0; i < played.unmounted; i++)
		report("/dev/pts: Read-only file system");
	return played.unmounted;
}

int __wrap_gb_setting_get(const struct gb_setting *setting, char *value, size_t size, const char **ret_origin);
int __wrap_gb_setting_get(const struct gb_setting *setting, char *value, size_t size, const char **ret_origin)
{
	/* btrfs-bootstrap's own: the file, too. */
	assert_string_equal(setting->cmdline[0], "guestbox.data");
	assert_string_equal(setting->file, "/etc/guestbox/data");
	assert_null(ret_origin);
	return played.data ? snprintf(value, size, "%s", played.data) : -ENOENT;
}

/* ---- what it runs ---- */

static void run_to_its_end(const char *path, const char *as) __attribute__((noreturn));
static void run_to_its_end(const char *path, const char *as)
{
	did("run %s as %s\n", path, as);
	_exit(played.disk_status);
}

int __wrap_execl(const char *path, const char *arg, ...);
int __wrap_execl(const char *path, const char *arg, ...)
{
	run_to_its_end(path, arg);
}

/* The daemon's first run says that it listens, and crashes; the second one asks for the machine's end once the boot is over. */
int __wrap_execv(const char *path, char *const *argv);
int __wrap_execv(const char *path, char *const *argv)
{
	struct stat st;
	int n = 0;

	if (!argv[1]) /* what counts lines has an execl(3) of its own, which ends here */
		run_to_its_end(path, argv[0]);
	if (stat(unit_path(dir, "again"), &st) == 0) {
		if (!comes("guestbox: ready"))
			_exit(97);
		(void)__real_kill(getppid(), SIGUSR2);
		for (;;)
			(void)pause();
	}
	if (mkdir(unit_path(dir, "again"), 0700) < 0)
		_exit(96);
	did("exec %s:", path);
	for (; argv[n]; n++)
		did(" %s", n && strcmp(argv[n - 1], "--notify-fd") == 0 ? "N" : argv[n]);
	did("\n");
	if (!played.deaf && write(atoi(argv[n - 1]), "\n", 1) != 1)
		_exit(95);
	_exit(3);
}

int __real_execvp(const char *file, char *const *argv);
int __wrap_execvp(const char *file, char *const *argv);
int __wrap_execvp(const char *file, char *const *argv)
{
	if (strcmp(file, "/init") != 0)
		return __real_execvp(file, argv);
	did("exec /init as %s %s\n", argv[0], argv[1]);
	_exit(6);
}

/* ---- power ---- */

pid_t __wrap_gb_power_begin(enum gb_power_action action, unsigned grace_ms, struct gb_err *err);
pid_t __wrap_gb_power_begin(enum gb_power_action action, unsigned grace_ms, struct gb_err *err)
{
	if (played.begin_fails) {
		played.begin_fails--;
		return gb_err_sys(err, played.begin_error, "power-off");
	}
	did("begin %s, %u ms\n", gb_power_action_name(action), grace_ms);
	pid_t pid = fork();
	if (pid == 0) { /* as the real one: nobody is left, then it is over */
		while (init.command && __real_kill(init.command, SIGTERM) == 0)
			(void)nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		_exit(0);
	}
	return pid;
}

bool __wrap_gb_power_pending(void);
bool __wrap_gb_power_pending(void) { return played.pending; }

static void emergency(void)
{
	did("emergency\n");
}

static int go(enum gb_power_action action)
{
	did("go %s\n", gb_power_action_name(action));
	if (played.machine)
		_exit(77); /* it is off */
	return -EPERM;
}

extern const struct gb_power_ops __wrap_gb_power_ops;
const struct gb_power_ops __wrap_gb_power_ops = { .emergency = emergency, .go = go };

/* ---- the tests ---- */

static int begin(void **state)
{
	(void)state;
	memset(&init, 0, sizeof init);
	memset(&played, 0, sizeof played);
	(void)rmdir(unit_path(dir, "again"));
	(void)done();
	return 0;
}

/* In a child: its exit status, and what it has said on stderr. stdin: a descriptor, -1 for none. */
static int in_child(int (*run_it)(struct gb_err *err), int input, char ret_said[1024])
{
	gb_autobuf struct gb_buf text = { 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct gb_err err = { 0 };
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		int said = open(unit_path(dir, "said"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)setsid();
		(void)dup2(input >= 0 ? input : null, STDIN_FILENO);
		(void)dup2(said, STDERR_FILENO);
		int r = run_it(&err);
		if (r < 0)
			dprintf(STDERR_FILENO, "error %d: %s\n", r, err.msg);
		_exit(r < 0 ? 99 : r);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(gb_io_slurp(AT_FDCWD, unit_path(dir, "said"), 65536, &text), 0);
	(void)snprintf(ret_said, 1024, "%s", gb_buf_text(&text));
	(void)unlink(unit_path(dir, "said"));
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static char name[] = "init.krun", word[] = "quiet", sh[] = "/bin/sh", flag[] = "-c", script[512];
static char *of_sh[] = { sh, flag, script, NULL };

static int krun(struct gb_err *err)
{
	char *argv[] = { name, word, NULL };
	struct gb_cmd cmd = { .argc = 2, .argv = argv };

	return run_krun(&cmd, err);
}

static int command(struct gb_err *err)
{
	init.argv = of_sh;
	return keep_running(err);
}

#define DAEMON "exec /proc/self/exe: vsock-rpcd --listen vsock:1024"
#define POWER "begin off, 0 ms\n"

static void has(const char *all, const char *text)
{
	if (!strstr(all, text))
		fail_msg("no \"%s\" in:\n%s", text, all);
}

/* A machine with everything: each step is said, the daemon is started again when it crashes, and the boot is over once. */
static void a_share_without_an_init_is_set_up(void **state)
{
	char said[1024];
	int ports;

	(void)state;
	played.data = "/dev/vdc";
	played.ports = true;
	assert_return_code(mkdir(unit_path(dir, "vport0p1"), 0700), errno);
	ports = open(unit_path(dir, "vport0p1/name"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(ports, "org.guestbox.rpc.0\n", 19), 19);
	(void)close(ports);
	assert_int_equal(in_child(krun, -1, said), 128 + SIGTERM);
	const char *all = done();
	has(all, "<4>guestbox: step pseudo-file-systems: done\nkernel/printk_devkmsg on\n"
		 "run /proc/self/exe as btrfs-bootstrap\n<4>guestbox: step data-disk: done\n");
	has(all, DAEMON " --listen virtio:org.guestbox.rpc.0 --log kmsg --notify-fd N\n");
	has(all, "<4>guestbox: step daemon: done\n<4>guestbox: ready\n");
	has(all, POWER);
	has(said, "vsock-rpcd: ended with status 3, starting it again\n");
	(void)unlink(unit_path(dir, "vport0p1/name"));
	(void)rmdir(unit_path(dir, "vport0p1"));
}

/* Nothing of what fails keeps the daemon from being started, and each is said. */
static void what_fails_is_said_and_the_boot_goes_on(void **state)
{
	char said[1024];

	(void)state;
	played.unmounted = 2;
	played.vdb = true;
	played.disk_status = 3;
	played.deaf = true;
	assert_int_equal(in_child(krun, -1, said), 128 + SIGTERM);
	const char *all = done();
	has(all, "<4>guestbox: pseudo-file-systems: /dev/pts: Read-only file system\n"
		 "<4>guestbox: pseudo-file-systems: /dev/pts: Read-only file system\n"
		 "<4>guestbox: step pseudo-file-systems: failed: 2 of them\n");
	has(all, "<4>guestbox: step data-disk: failed with status 3\n");
	has(all, DAEMON " --log kmsg --notify-fd N\n");
	has(all, "<4>guestbox: step daemon: failed: vsock-rpcd did not listen within 10 s\n"
		 "<4>guestbox: ready, degraded: failed: daemon\n");
}

static void without_a_disk_none_is_set_up(void **state)
{
	static const char *const data[] = { "none", NULL };
	char said[1024];

	for (size_t i = 0; i < 2; i++) {
		(void)begin(state);
		played.vdb = data[i]; /* it is there, and not wanted */
		played.data = data[i];
		assert_int_equal(in_child(krun, -1, said), 128 + SIGTERM);
		const char *all = done();
		has(all, DAEMON);
		assert_null(strstr(all, "btrfs-bootstrap"));
		assert_null(strstr(all, "data-disk"));
	}
}

/* The share's own /init is what runs, and the machine is as the kernel left it. */
static void an_init_of_the_share_comes_first(void **state)
{
	char said[1024];

	(void)state;
	played.own_init = true;
	assert_int_equal(in_child(krun, -1, said), 6);
	assert_string_equal(done(), "exec /init as /init quiet\n");
}

static void without_descriptors_the_start_fails(void **state)
{
	char said[1024];

	(void)state;
	played.no_pipe = EMFILE;
	assert_int_equal(in_child(krun, -1, said), 99);
	has(said, "pipe: Too many open files\n");
	played.no_pipe = 0;
	played.no_signalfd = EMFILE;
	assert_int_equal(in_child(command, -1, said), 99);
	has(said, "signalfd: Too many open files\n");
}

/* The machine's console is the command's: a session of its own, for ^C. */
static void the_command_of_a_machine_has_the_console(void **state)
{
	gb_autoclose int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char said[1024];

	(void)state;
	assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	gb_autoclose int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	played.machine = true;
	(void)snprintf(script, sizeof script, "read -r pid _ _ _ _ session tty _ </proc/self/stat; read -r pid _ </proc/$$/stat\n"
		       "[ $session = $pid ] && [ $tty != 0 ] && echo own >>%s/done; kill -USR2 $PPID; exit 3", dir);
	assert_int_equal(in_child(command, slave, said), 77);
	const char *all = done();
	has(all, "reboot 0\n"); /* RB_DISABLE_CAD: ctrl-alt-del is a signal to us */
	has(all, "own\n");
}

/* It outlives its command, and when the sequence ends without an end of the machine, it is its second line. */
static void a_machine_is_ended_without_the_sequence(void **state)
{
	char said[1024];

	(void)state;
	played.machine = true;
	/* When the command is gone and reaped, an orphan asks for the end. */
	(void)snprintf(script, sizeof script, "init=$PPID; (while kill -0 $$; do sleep 0.01; done 2>/dev/null; kill -USR1 $init) & exit 3");
	assert_int_equal(in_child(command, -1, said), 77);
	assert_string_equal(done(), "reboot 0\nbegin halt, 0 ms\nemergency\ngo halt\n");
	has(said, "ended with status 3\n");
	has(said, "halt: the sequence failed: ending at once\n");
}

static void a_sequence_that_hangs_is_not_waited_for(void **state)
{
	(void)state;
	init.ending = init.is_machine = true;
	init.action = GB_POWER_REBOOT;
	init.sequence = 4711;
	init.give_up_at = gb_mono_us() + 60000000;
	assert_true(watch_end());
	assert_string_equal(done(), ""); /* there is time */
	assert_in_range(timeout_ms(), 50000, 60001);
	init.give_up_at = gb_mono_us();
	assert_true(watch_end());
	assert_string_equal(done(), "emergency\ngo reboot\n");
	assert_true(init.give_up_at > gb_mono_us()); /* reboot(2) has failed: again in a second */
}

/* The latch is somebody's guest-poweroff --force: PID 1 looks on, and is there when that one fails. */
static void a_sequence_of_another_is_watched(void **state)
{
	(void)state;
	played.begin_fails = 1;
	played.begin_error = EALREADY;
	played.pending = true;
	init.is_machine = true;
	begin_end(GB_POWER_OFF, 2000);
	assert_string_equal(done(), "");
	assert_true(init.ending && init.sequence == 0);
	assert_true(watch_end());
	assert_int_equal(timeout_ms(), 100);
	begin_end(GB_POWER_REBOOT, 0); /* the first one counts */
	assert_int_equal(init.action, GB_POWER_OFF);
	assert_string_equal(done(), "");
	played.pending = false;
	assert_true(watch_end());
	assert_string_equal(done(), "emergency\ngo off\n");
	/* In a container PID 1's end is the container's. */
	init.is_machine = false;
	assert_false(watch_end());
}

/* Without a process for the sequence all others are killed, and it is tried again before the machine is ended without it. */
static void without_a_process_room_is_made(void **state)
{
	(void)state;
	played.begin_fails = 3;
	played.begin_error = EAGAIN;
	begin_end(GB_POWER_HALT, 4000);
	assert_string_equal(done(), "kill -1 9\nbegin halt, 4000 ms\n");
	assert_true(init.sequence > 0);
	while (init.sequence)
		(void)reap();

	memset(&init, 0, sizeof init);
	played.begin_fails = 1000;
	begin_end(GB_POWER_OFF, 0);
	assert_string_equal(done(), "kill -1 9\nemergency\ngo off\n");
	assert_int_equal(init.sequence, 0);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)begin(state);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_share_without_an_init_is_set_up, begin),
		cmocka_unit_test_setup(what_fails_is_said_and_the_boot_goes_on, begin),
		cmocka_unit_test_setup(without_a_disk_none_is_set_up, begin),
		cmocka_unit_test_setup(an_init_of_the_share_comes_first, begin),
		cmocka_unit_test_setup(without_descriptors_the_start_fails, begin),
		cmocka_unit_test_setup(the_command_of_a_machine_has_the_console, begin),
		cmocka_unit_test_setup(a_machine_is_ended_without_the_sequence, begin),
		cmocka_unit_test_setup(a_sequence_that_hangs_is_not_waited_for, begin),
		cmocka_unit_test_setup(a_sequence_of_another_is_watched, begin),
		cmocka_unit_test_setup(without_a_process_room_is_made, begin),
	};

	return cmocka_run_group_tests_name("pid1", tests, set_up, tear_down);
}
