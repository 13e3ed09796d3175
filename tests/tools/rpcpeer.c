/* SPDX-License-Identifier: MIT */
/* rpcpeer SOCKET SCRIPT: one connection of a daemon that says what a script says, and insists on what it is told.
 *
 * A line a step; HEX is hex digits, 'TEXT' between apostrophes its bytes.
 *   send HEX...         these bytes
 *   reply TYPE FILE     a frame of this type (hex) with the last frame's trace id and FILE's bytes as payload
 *   flood N HEX...      these bytes, N times
 *   frame TYPE [FILE]   reads a frame, which must be of this type; its payload goes to FILE
 *   input HEX...        reads frames of type 33 until their payloads are these bytes
 *   input-end           reads the frame of type 33 without payload, and nothing before it
 *   input-until-end FILE  reads frames of type 33 to the empty one; their payloads go to FILE
 *   eof                 the other side must end here
 *   touch FILE, wait FILE  tells the test, or waits for it
 * The end of the script closes the connection. Exit status 0: all was as told. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

static int fd, line_number;
static unsigned char trace[65536], *payload;
static size_t trace_len, payload_len;
static uint32_t type;

static void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "rpcpeer: line %d: ", line_number);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static size_t bytes(char *text, unsigned char *out)
{
	size_t n = 0;

	for (char *p = text; *p;) {
		if (*p == ' ' || *p == '\t') {
			p++;
		} else if (*p == '\'') {
			for (p++; *p && *p != '\''; p++)
				out[n++] = (unsigned char)*p;
			p += *p == '\'';
		} else {
			unsigned v;
			if (sscanf(p, "%2x", &v) != 1 || !p[1])
				die("no hex: %s", p);
			out[n++] = (unsigned char)v;
			p += 2;
		}
	}
	return n;
}

static void put(const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("send: %s", strerror(errno));
		p += n;
		len -= (size_t)n;
	}
}

/* false: the other side has ended before the first byte. */
static bool get(void *data, size_t len)
{
	char *p = data;

	for (size_t at = 0; at < len;) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		if (poll(&wait, 1, PATIENCE_MS) == 0)
			die("nothing comes (%zu of %zu bytes)", at, len);
		ssize_t n = read(fd, p + at, len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ECONNRESET)
			die("read: %s", strerror(errno));
		if (n <= 0 && at == 0)
			return false;
		if (n <= 0)
			die("the other side ended in the middle: %zu of %zu bytes", at, len);
		at += (size_t)n;
	}
	return true;
}

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(unsigned char *p, uint32_t v)
{
	p[0] = (unsigned char)(v >> 24);
	p[1] = (unsigned char)(v >> 16);
	p[2] = (unsigned char)(v >> 8);
	p[3] = (unsigned char)v;
}

static void frame(uint32_t want)
{
	unsigned char head[10];
	static unsigned char ignored[65536];

	if (!get(head, sizeof head))
		die("the other side has ended; a frame of type %x was to come", want);
	uint32_t len = be32(head);
	type = be32(head + 4);
	size_t t = (size_t)head[8] << 8 | head[9];
	if (len < 6 + t || len > 64 << 20)
		die("a frame of length %u with a trace id of %zu", len, t);
	unsigned char *id = want == 0x33 ? ignored : trace;
	if (t && !get(id, t))
		die("cut off");
	if (want != 0x33)
		trace_len = t;
	payload_len = len - 6 - t;
	payload = realloc(payload, payload_len + 1);
	if (!payload)
		die("out of memory");
	if (payload_len && !get(payload, payload_len))
		die("cut off");
	if (type != want)
		die("a frame of type %x with %zu bytes; %x was to come", type, payload_len, want);
}

static void save(const char *path, const char *mode)
{
	FILE *f = fopen(path, mode);

	if (!f || fwrite(payload, 1, payload_len, f) != payload_len || fclose(f) != 0)
		die("%s: %s", path, strerror(errno));
}

static void reply(uint32_t t, const char *path)
{
	static unsigned char data[1 << 20], head[10];
	FILE *f = fopen(path, "r");

	if (!f)
		die("%s: %s", path, strerror(errno));
	size_t n = fread(data, 1, sizeof data, f);
	(void)fclose(f);
	put32(head, (uint32_t)(6 + trace_len + n));
	put32(head + 4, t);
	head[8] = (unsigned char)(trace_len >> 8);
	head[9] = (unsigned char)trace_len;
	put(head, sizeof head);
	put(trace, trace_len);
	put(data, n);
}

static void step(char *line)
{
	static unsigned char out[1 << 20];
	char *rest = strchr(line, ' ');
	struct stat st;

	rest = rest ? (*rest = '\0', rest + 1) : line + strlen(line);
	char *file = strchr(rest, ' ');
	if (strcmp(line, "send") == 0) {
		put(out, bytes(rest, out));
	} else if (strcmp(line, "flood") == 0) {
		long times = strtol(rest, &rest, 10);
		size_t n = bytes(rest, out);
		while (times-- > 0)
			put(out, n);
	} else if (strcmp(line, "frame") == 0) {
		frame((uint32_t)strtoul(rest, NULL, 16));
		if (file)
			save(file + 1, "w");
	} else if (strcmp(line, "reply") == 0 && file) {
		reply((uint32_t)strtoul(rest, NULL, 16), file + 1);
	} else if (strcmp(line, "input") == 0) {
		size_t n = bytes(rest, out);
		for (size_t at = 0; at < n; at += payload_len) {
			frame(0x33);
			if (payload_len == 0 || payload_len > n - at || memcmp(payload, out + at, payload_len) != 0)
				die("input: %zu bytes \"%.*s\"", payload_len, (int)payload_len, (char *)payload);
		}
	} else if (strcmp(line, "input-end") == 0) {
		frame(0x33);
		if (payload_len)
			die("input: %zu bytes more: \"%.*s\"", payload_len, (int)payload_len, (char *)payload);
	} else if (strcmp(line, "input-until-end") == 0) {
		do {
			frame(0x33);
			save(rest, "a");
		} while (payload_len);
	} else if (strcmp(line, "eof") == 0) {
		if (get(out, 1))
			die("more bytes, the first is %02x", out[0]);
	} else if (strcmp(line, "touch") == 0) {
		FILE *f = fopen(rest, "w");
		if (!f || fclose(f) != 0)
			die("%s: %s", rest, strerror(errno));
	} else if (strcmp(line, "wait") == 0) {
		for (int i = 0; stat(rest, &st) < 0; i++) {
			struct timespec ts = { .tv_nsec = 10000000 };
			if (i > PATIENCE_MS / 10)
				die("%s does not come", rest);
			(void)nanosleep(&ts, NULL);
		}
	} else if (*line && *line != '#') {
		die("unknown step: %s", line);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char temporary[sizeof addr.sun_path], *line = NULL;
	size_t size = 0;

	if (argc != 3 || strlen(argv[1]) + 3 > sizeof addr.sun_path)
		die("usage: rpcpeer SOCKET SCRIPT");
	(void)signal(SIGPIPE, SIG_IGN);
	FILE *script = fopen(argv[2], "r");
	if (!script)
		die("%s: %s", argv[2], strerror(errno));
	/* Under its name only when it listens: who sees it can connect. */
	(void)snprintf(temporary, sizeof temporary, "%.100s~", argv[1]);
	memcpy(addr.sun_path, temporary, strlen(temporary) + 1);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)unlink(temporary);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(listener, 1) < 0 ||
	    rename(temporary, argv[1]) < 0)
		die("%s: %s", argv[1], strerror(errno));
	struct pollfd wait = { .fd = listener, .events = POLLIN };
	if (poll(&wait, 1, PATIENCE_MS) == 0)
		die("nobody connects");
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		die("accept: %s", strerror(errno));
	for (ssize_t n; (n = getline(&line, &size, script)) > 0;) {
		line_number++;
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		step(line + strspn(line, " \t"));
	}
	free(line);
	free(payload);
	(void)fclose(script);
	(void)close(fd);
	(void)close(listener);
	return 0;
}
