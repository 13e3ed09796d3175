/* SPDX-License-Identifier: MIT */
/* Help texts, made from the descriptors. */
#ifndef GB_HELP_H
#define GB_HELP_H

#include <stdio.h>

#include "applets/applet.h"

/* The help of an applet, or of one of its verbs or aliases when verb is not NULL. */
void gb_help_print(FILE *to, const struct gb_applet *applet, const struct gb_verb *verb);

/* One line an option: applet, verb (or "-"), letter, long name, argument (each or "-"), help; tab-separated. */
void gb_help_dump(FILE *to, const struct gb_applet *applet);

#endif
