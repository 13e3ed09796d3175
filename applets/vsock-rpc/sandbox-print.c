/* SPDX-License-Identifier: MIT */
/* vsock-rpc sandbox: answers as people read them. */
#include "applets/vsock-rpc/sandbox.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/date.h"
#include "common/base/json.h"
#include "common/base/list.h"

void sandbox_put(struct gb_buf *buf, const char *text)
{
	size_t from = buf->len;

	gb_pb_plain(buf, text);
	for (size_t i = from; i < buf->len; i++) { /* one line stays one line */
		if (buf->data[i] == '\n')
			buf->data[i] = ' ';
	}
}

struct gb_buf *sandbox_cell(struct sandbox_table *table)
{
	static struct gb_buf lost;

	if (gb_list_room(&table->cells, table->len, &table->size, sizeof *table->cells) < 0) {
		table->failed = true;
		gb_buf_free(&lost);
		return &lost;
	}
	table->cells[table->len] = (struct gb_buf){ 0 };
	return &table->cells[table->len++];
}

int sandbox_table_print(struct sandbox_table *table, struct gb_err *err)
{
	bool failed = table->failed;

	for (size_t c = 0; !failed && c + 1 < table->columns; c++) {
		size_t width = 0;
		for (size_t i = c; i < table->len; i += table->columns)
			width = table->cells[i].len > width ? table->cells[i].len : width;
		for (size_t i = c; i < table->len; i += table->columns) {
			struct gb_buf *cell = &table->cells[i];
			(void)gb_buf_fmt(cell, "%*s", (int)(width + 2 - cell->len), "");
		}
	}
	for (size_t i = 0; i < table->len; i++) {
		failed = failed || table->cells[i].failed;
		if (!failed) {
			(void)fputs(gb_buf_text(&table->cells[i]), stdout);
			if (i % table->columns == table->columns - 1)
				(void)fputc('\n', stdout);
		}
		gb_buf_free(&table->cells[i]);
	}
	free(table->cells);
	return failed ? gb_err_sys(err, ENOMEM, "reply") : 0;
}

void sandbox_when(struct gb_buf *buf, int64_t seconds)
{
	char text[GB_DATE_SIZE];

	if (seconds == 0)
		(void)gb_buf_str(buf, "-");
	else if (gb_date_text(text, seconds))
		(void)gb_buf_fmt(buf, "%sZ", text);
	else
		(void)gb_buf_fmt(buf, "%" PRId64, seconds);
}

/* The maps of the messages shown here. */
_Static_assert(offsetof(Sandbox__V1__SandboxInfo__LabelsEntry, value) == offsetof(struct gb_pb_entry, value) &&
	       offsetof(Sandbox__V1__SandboxSummary__LabelsEntry, value) == offsetof(struct gb_pb_entry, value) &&
	       offsetof(Sandbox__V1__SnapshotSummary__LabelsEntry, value) == offsetof(struct gb_pb_entry, value),
	       "entries of maps from string to string");

void sandbox_labels(struct gb_buf *buf, const void *list, size_t len)
{
	const struct gb_pb_entry *const *entries = list;

	for (size_t i = 0; i < len; i++) {
		(void)gb_buf_str(buf, i ? "," : "");
		sandbox_put(buf, entries[i]->key);
		(void)gb_buf_str(buf, "=");
		sandbox_put(buf, entries[i]->value);
	}
	if (!len)
		(void)gb_buf_str(buf, "-");
}

void sandbox_put_or_dash(struct gb_buf *buf, const char *text)
{
	sandbox_put(buf, *text ? text : "-");
}

void sandbox_heads(struct sandbox_table *table, const char *const *names, size_t len)
{
	table->columns = len;
	for (size_t i = 0; i < len; i++)
		(void)gb_buf_str(sandbox_cell(table), names[i]);
}

void sandbox_texts(struct sandbox_table *table, const char *const *texts, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sandbox_put_or_dash(sandbox_cell(table), texts[i]);
}

int sandbox_print_word(const char *word, struct gb_err *err)
{
	gb_autobuf struct gb_buf text = { 0 };

	sandbox_put(&text, word);
	(void)gb_buf_str(&text, "\n");
	return rpc_print_text(&text, err);
}

int sandbox_print_done(const struct rpc_call *call, const char *key, const char *word, struct gb_err *err)
{
	struct gb_json json = { 0 };

	if (!call->json) {
		puts(word);
		return 0;
	}
	gb_json_open(&json, NULL, '{');
	gb_json_str(&json, key, word);
	gb_json_close(&json, '}');
	return gb_json_print(&json, err);
}
