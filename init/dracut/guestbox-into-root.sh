#!/bin/sh
# SPDX-License-Identifier: MIT
# dracut, in an image without systemd: the root is mounted. dracut reads this file into its own shell.
/usr/lib/guestbox/into-root "${NEWROOT:?}"
