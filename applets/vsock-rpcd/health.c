/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: asks the runtime's daemons how they are. All of it blocks, and runs in threads. */
#include <bsd/string.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "applets/vsock-rpcd/health.h"
#include "common/base/cleanup.h"
#include "common/base/mono.h"
#include "common/net/addr.h"
#include "common/sys/spawn.h"

enum { PROBE_MS = 300, API_CONNECT_MS = 500, API_MS = 3000, READYZ_MS = 10000, OUTPUT_MAX = 1024 };

static int connect_unix(const char *path, int timeout_ms)
{
	struct gb_addr addr = { .kind = GB_ADDR_UNIX };

	(void)strlcpy(addr.name, path, sizeof addr.name);
	return gb_addr_connect(&addr, timeout_ms, NULL);
}

static bool accepts(const char *path)
{
	gb_autoclose int fd = connect_unix(path, PROBE_MS);

	return fd >= 0;
}

bool rpcd_docker_connects(void)
{
	return accepts(RPCD_DOCKER_SOCKET);
}

bool rpcd_containerd_up(void)
{
	return accepts(RPCD_CONTAINERD_SOCKET) || accepts("/var/run/containerd/containerd.sock");
}

/* Whether the API answers: dockerd takes connections before it can serve them. */
bool rpcd_docker_answers(void)
{
	static const char request[] = "GET /_ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	char reply[256];
	gb_autoclose int fd = connect_unix(RPCD_DOCKER_SOCKET, API_CONNECT_MS);

	if (fd < 0 || send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1)
		return false;
	if (gb_net_wait(fd, POLLIN, gb_mono_ms() + API_MS) < 0)
		return false;
	ssize_t n = recv(fd, reply, sizeof reply, 0);
	return n >= 12 && strncmp(reply, "HTTP/1.1 200", 12) == 0;
}

bool rpcd_api_connects(void)
{
	struct gb_addr addr;

	if (gb_addr_parse("tcp:127.0.0.1:6443", &addr, NULL) < 0)
		return false;
	gb_autoclose int fd = gb_addr_connect(&addr, PROBE_MS, NULL);
	return fd >= 0;
}

/* The API server takes no request without TLS and a name: the client in k3s itself has both. */
static bool readyz(const char *dir)
{
	static char *const argv[] = { (char *)(uintptr_t)"k3s", (char *)(uintptr_t)"kubectl",
				      (char *)(uintptr_t)"--kubeconfig=" RPCD_K3S_CONFIG,
				      (char *)(uintptr_t)"--request-timeout=5s", (char *)(uintptr_t)"get",
				      (char *)(uintptr_t)"--raw=/readyz", NULL };
	gb_autobuf struct gb_buf output = { 0 };
	gb_cleanup(rpcd_environment_end) char **env = rpcd_environment(dir);
	char path[512];

	(void)snprintf(path, sizeof path, "%s/k3s", dir);
	return env &&
	       gb_spawn_run(&(struct gb_spawn){ .path = path, .argv = argv, .env = env, .out = -1, .cgroup = -1 }, READYZ_MS,
			    &output, OUTPUT_MAX) == 0 &&
	       strncmp(gb_buf_text(&output), "ok", 2) == 0;
}

bool rpcd_service_answers(const char *dir, enum rpcd_service id)
{
	switch (id) {
	case RPCD_CONTAINERD: return rpcd_containerd_up();
	case RPCD_DOCKERD: return rpcd_docker_answers();
	default: return rpcd_api_connects() && readyz(dir);
	}
}
