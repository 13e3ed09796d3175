/* SPDX-License-Identifier: MIT */
/* vsock-rpc: our own terminal raw while a remote one is at it, and as it was on every way out. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <termios.h>
#include <unistd.h>

#include "applets/vsock-rpc/stream.h"
#include "common/base/cleanup.h"

/* What ends this program, or stops it. In a raw terminal none of them comes from a key. */
static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGABRT, SIGSEGV,
			       SIGBUS, SIGFPE, SIGILL, SIGTSTP, SIGTTIN, SIGTTOU };

static struct {
	int fd;
	struct termios was, raw;
	volatile sig_atomic_t on;
	struct sigaction old[GB_ARRAY_LEN(signals)];
} tty;

/* Sets the terminal also when we are in the background, where that would stop us (SIGTTOU, tcsetattr(3)).
 * Async-signal-safe (signal-safety(7)). */
static void set(const struct termios *to)
{
	sigset_t block, old;

	(void)sigemptyset(&block);
	(void)sigaddset(&block, SIGTTOU);
	(void)sigprocmask(SIG_BLOCK, &block, &old);
	(void)tcsetattr(tty.fd, TCSANOW, to);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
}

static void on_signal(int signo)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL }, own;
	sigset_t only, old;
	int saved = errno;

	set(&tty.was);
	/* Now as if there were no handler: it ends us here, or stops us until SIGCONT. */
	(void)sigaction(signo, &dfl, &own);
	(void)raise(signo);
	(void)sigemptyset(&only);
	(void)sigaddset(&only, signo);
	(void)sigprocmask(SIG_UNBLOCK, &only, &old);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	(void)sigaction(signo, &own, NULL);
	/* Continued: raw again if the terminal is ours, else the next SIGCONT's shell will see to it. */
	if (tty.on && tcgetpgrp(tty.fd) == getpgrp())
		set(&tty.raw);
	errno = saved;
}

/* Continued by `fg` after a stop that no handler saw (SIGSTOP), or while in the background. */
static void on_cont(int signo)
{
	(void)signo;
	if (tty.on && tcgetpgrp(tty.fd) == getpgrp())
		set(&tty.raw);
}

int rpc_tty_raw(int fd)
{
	struct sigaction action = { .sa_handler = on_signal }, cont = { .sa_handler = on_cont, .sa_flags = SA_RESTART };

	if (tcgetattr(fd, &tty.was) < 0)
		return -errno;
	tty.fd = fd;
	tty.raw = tty.was;
	cfmakeraw(&tty.raw);
	(void)sigfillset(&action.sa_mask);
	/* First the handlers: a signal in between restores what was not changed yet. */
	for (size_t i = 0; i < GB_ARRAY_LEN(signals); i++) {
		(void)sigaction(signals[i], NULL, &tty.old[i]);
		if (tty.old[i].sa_handler == SIG_DFL) /* nohup(1) ignores SIGHUP, and means it */
			(void)sigaction(signals[i], &action, NULL);
	}
	(void)sigaction(SIGCONT, &cont, NULL);
	tty.on = 1;
	if (tcsetattr(fd, TCSADRAIN, &tty.raw) < 0) {
		int saved = errno;
		rpc_tty_restore();
		return -saved;
	}
	return 0;
}

void rpc_tty_restore(void)
{
	if (!tty.on)
		return;
	tty.on = 0;
	set(&tty.was);
	(void)signal(SIGCONT, SIG_DFL);
	for (size_t i = 0; i < GB_ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &tty.old[i], NULL);
}
