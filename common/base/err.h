/* SPDX-License-Identifier: MIT */
/* The error object: what failed, on what, and why, in the caller's memory. */
#ifndef GB_BASE_ERR_H
#define GB_BASE_ERR_H

/* Codes above every errno (MAX_ERRNO is 4095, include/linux/err.h). */
enum {
	GB_E_USAGE = 4097,   /* the command line is wrong: exit 2 */
	GB_E_REFUSED = 4098, /* refused for safety, nothing was changed: exit 3 */
	GB_E_HELP = 4099,    /* --help was asked for: main() prints it, exit 0 */
	GB_E_VERSION = 4100, /* --version was asked for: main() prints it, exit 0 */
	GB_E_SILENT = 4101,  /* failed, and the applet has already said all there is to say: exit 1 */
};

/*
 * Owned by the caller, usually on its stack; needs no memory of its own, so it works as PID 1 and out of memory. code
 * is 0, an errno or one of the above. msg names the object and the reason, once, without a newline; main() puts the
 * applet's name in front.
 */
struct gb_err {
	int code;
	char msg[1024];
};

/* Sets code and text (vis-encoded: control bytes of outside origin never reach a terminal). Returns -code. err may be
 * NULL. Too long a text loses its middle, so that object and reason both survive. */
int gb_err_set(struct gb_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same, with ": " and strerror(code) appended. */
int gb_err_sys(struct gb_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "text: " in front of what err already says. Returns -err->code. */
int gb_err_wrap(struct gb_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What the analyzers of tests/analysis cannot see from a caller: all three return less than zero. */
#ifdef GB_ANALYSIS
static inline int gb_err_negative(int r)
{
	if (r >= 0)
		__builtin_unreachable();
	return r;
}
#define gb_err_set(...) gb_err_negative(gb_err_set(__VA_ARGS__))
#define gb_err_sys(...) gb_err_negative(gb_err_sys(__VA_ARGS__))
#define gb_err_wrap(...) gb_err_negative(gb_err_wrap(__VA_ARGS__))
#endif

/* The exit status that stands for this error: 0, 1, 2 or 3. */
int gb_err_status(const struct gb_err *err);

#endif
