/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: the container runtime, between its requests and its start. */
#ifndef GB_RPCD_RUNTIME_H
#define GB_RPCD_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPCD_DOCKER_SOCKET "/var/run/docker.sock"

struct rpcd_probe {
	bool containerd; /* its socket accepts */
	bool exists, socket, docker; /* dockerd's socket: is there, accepts, and /_ping is answered */
	char detail[512];
};

/* All of these block, for some seconds at most but for the last. dir holds the runtime's programs. */
void rpcd_runtime_probe(const char *dir, struct rpcd_probe *probe);
bool rpcd_containerd_up(void);
/* Whether programs are missing; text names them. */
bool rpcd_runtime_missing(const char *dir, char *text, size_t size);
/* The start sequence, to its end: true when dockerd answers. text tells what was noted, and why it failed. */
bool rpcd_runtime_start(const char *dir, char *text, size_t size);

uint32_t rpcd_docker_port(void);

#endif
