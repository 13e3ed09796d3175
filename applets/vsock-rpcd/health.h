/* SPDX-License-Identifier: MIT */
/* vsock-rpcd: how the runtime's daemons are. All of it blocks, for some seconds at most but for k3s (READYZ_MS). */
#ifndef GB_RPCD_HEALTH_H
#define GB_RPCD_HEALTH_H

#include <stdbool.h>

#include "applets/vsock-rpcd/services.h"

/* Whether a daemon takes connections. */
bool rpcd_containerd_up(void);
bool rpcd_docker_connects(void);
bool rpcd_api_connects(void); /* of Kubernetes */

/* Whether dockerd's API answers: it takes connections before it can serve them. */
bool rpcd_docker_answers(void);

/* Whether a daemon answers as it should: the socket of containerd, dockerd's /_ping, the /readyz of k3s, asked by the
 * client in dir. */
bool rpcd_service_answers(const char *dir, enum rpcd_service id);

#endif
