/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: how the container runtime is. */
#ifndef GB_RPCD_RUNTIME_H
#define GB_RPCD_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpcd_probe {
	bool containerd; /* its socket accepts */
	bool exists, socket, docker; /* dockerd's socket: is there, accepts, and /_ping is answered */
	char detail[512];
};

/* All of these block, for some seconds at most but for the last. dir holds the runtime's programs. */
void rpcd_runtime_probe(const char *dir, struct rpcd_probe *probe);
bool rpcd_containerd_up(void);
bool rpcd_docker_answers(void);
bool rpcd_api_connects(void); /* of Kubernetes */

uint32_t rpcd_docker_port(void);

#endif
