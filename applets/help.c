/* SPDX-License-Identifier: MIT */
/* Help texts, made from the descriptors. */
#include "applets/help.h"

#include <string.h>

static void options(FILE *to, const struct gb_opt *opts)
{
	fputs("\nOptions:\n", to);
	for (const struct gb_opt *o = opts; (o = gb_opt_row(o)); o++) {
		const char *name = gb_opt_name(o), *arg = gb_opt_arg(o);
		char left[80];
		int n = o->key < GB_OPT_LONG ? snprintf(left, sizeof left, "  -%c%s", o->key, *name ? ", " : "")
					     : snprintf(left, sizeof left, "      ");

		if (*name)
			n += snprintf(left + n, sizeof left - (size_t)n, "--%s", name);
		if (*arg == '[')
			(void)snprintf(left + n, sizeof left - (size_t)n, "[%s%s", *name ? "=" : "", arg + 1);
		else if (*arg)
			(void)snprintf(left + n, sizeof left - (size_t)n, "%s%s", *name ? "=" : " ", arg);
		fprintf(to, "%-29s %s\n", left, gb_opt_help(o));
	}
	fprintf(to, "%-29s %s\n%-29s %s\n", "      --help", "show this help", "      --version", "show the version");
}

static void synopsis(FILE *to, const char *applet, const char *verb, const char *forms)
{
	const char *lead = "Usage:";

	do {
		size_t len = forms ? strcspn(forms, "\n") : 0;

		fprintf(to, "%s %s", lead, applet);
		if (verb)
			fprintf(to, " %s", verb);
		if (len)
			fprintf(to, " %.*s", (int)len, forms);
		fputc('\n', to);
		forms = forms && forms[len] ? forms + len + 1 : NULL;
		lead = "      ";
	} while (forms);
}

static int is_alias(const struct gb_applet *applet, const struct gb_verb *verb)
{
	for (const struct gb_verb *a = applet->aliases; a && a->name; a++) {
		if (a == verb)
			return 1;
	}
	return 0;
}

void gb_help_print(FILE *to, const struct gb_applet *applet, const struct gb_verb *verb)
{
	if (verb) {
		int alias = is_alias(applet, verb);

		synopsis(to, alias ? verb->name : applet->name, alias ? NULL : verb->name, verb->synopsis);
		fprintf(to, "\n%s: %s\n", verb->name, verb->summary);
		options(to, verb->opts);
		return;
	}
	synopsis(to, applet->name, NULL, applet->synopsis);
	fprintf(to, "\n%s: %s\n", applet->name, applet->summary);
	if (applet->verbs) {
		int width = 15;

		fputs("\nVerbs:\n", to);
		for (const struct gb_verb *v = applet->verbs; v->name; v++)
			width = (int)strlen(v->name) > width ? (int)strlen(v->name) : width;
		for (const struct gb_verb *v = applet->verbs; v->name; v++)
			fprintf(to, "  %-*s  %s\n", width, v->name, v->summary);
		fprintf(to, "\nThe options of a verb: %s VERB --help\n", applet->name);
	}
	options(to, applet->opts);
	if (applet->aliases) {
		fputs("\nAlso callable as:", to);
		for (const struct gb_verb *a = applet->aliases; a->name; a++)
			fprintf(to, " %s", a->name);
		fputc('\n', to);
	}
}

static void dump(FILE *to, const char *applet, const char *verb, const struct gb_opt *opts)
{
	for (const struct gb_opt *o = opts; (o = gb_opt_row(o)); o++) {
		const char *name = gb_opt_name(o), *arg = gb_opt_arg(o);
		char letter[2] = { o->key < GB_OPT_LONG ? (char)o->key : '-', '\0' };

		fprintf(to, "%s\t%s\t%s\t%s\t%s\t%s\n", applet, verb, letter, *name ? name : "-",
			*arg ? arg : "-", gb_opt_help(o));
	}
}

void gb_help_dump(FILE *to, const struct gb_applet *applet)
{
	dump(to, applet->name, "-", applet->opts);
	for (const struct gb_verb *v = applet->verbs; v && v->name; v++)
		dump(to, applet->name, v->name, v->opts);
	for (const struct gb_verb *a = applet->aliases; a && a->name; a++)
		dump(to, a->name, "-", a->opts);
}
