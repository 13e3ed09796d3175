/* SPDX-License-Identifier: MIT */
/* Open files and folders by number: a place in a table with a generation. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/initfs/node.h"

/* A free place for a file's number. Locked. */
static int64_t free_slot(struct gb_table *table)
{
	for (uint32_t n = 0; n < table->slot_count; n++) {
		uint32_t i = (table->slot_free + n) % table->slot_count;
		if (!table->slots[i].file) {
			table->slot_free = i + 1;
			return i;
		}
	}
	uint32_t count = table->slot_count ? table->slot_count * 2 : 64;
	struct gb_slot *more = count < (1U << 30) ? reallocarray(table->slots, count, sizeof *more) : NULL;
	if (!more)
		return -ENOMEM;
	memset(more + table->slot_count, 0, (count - table->slot_count) * sizeof *more);
	table->slots = more;
	table->slot_free = table->slot_count + 1;
	uint32_t first = table->slot_count;
	table->slot_count = count;
	return first;
}

int gb_initfs_file_open(struct gb_table *table, struct gb_node *node, int fd, enum gb_file_type type,
			struct gb_file **ret_file)
{
	struct gb_file *file = calloc(1, sizeof *file);

	if (!file)
		return -ENOMEM;
	(void)pthread_mutex_init(&file->lock, NULL);
	file->fd = fd;
	file->type = type;
	file->refs = 1;
	file->node = node;
	(void)pthread_mutex_lock(&table->lock);
	int64_t slot = free_slot(table);
	if (slot >= 0) {
		table->slots[slot].file = file;
		file->fh = (uint64_t)table->slots[slot].generation << 32 | (uint64_t)(slot + 1);
		if (node) {
			node->uses++;
			node->opens += type == GB_FILE_PLAIN;
			TAILQ_INSERT_HEAD(&node->files, file, next);
		}
	}
	(void)pthread_mutex_unlock(&table->lock);
	if (slot < 0) {
		(void)pthread_mutex_destroy(&file->lock);
		free(file);
		return (int)slot;
	}
	*ret_file = file;
	return 0;
}

/* Locked. */
static struct gb_file *find_file(struct gb_table *table, uint64_t fh, enum gb_file_type type)
{
	uint32_t slot = (uint32_t)fh - 1;

	if ((uint32_t)fh == 0 || slot >= table->slot_count)
		return NULL;
	struct gb_file *file = table->slots[slot].file;
	return file && file->fh == fh && file->type == type ? file : NULL;
}

void gb_initfs_file_free(struct gb_file *file)
{
	if (file->fd >= 0)
		(void)close(file->fd);
	(void)pthread_mutex_destroy(&file->lock);
	free(file->buf);
	free(file);
}

struct gb_file *gb_initfs_file_get(struct gb_table *table, uint64_t fh, enum gb_file_type type)
{
	(void)pthread_mutex_lock(&table->lock);
	struct gb_file *file = find_file(table, fh, type);
	if (file)
		file->refs++;
	(void)pthread_mutex_unlock(&table->lock);
	return file;
}

void gb_initfs_file_put(struct gb_table *table, struct gb_file *file)
{
	if (!file)
		return;
	(void)pthread_mutex_lock(&table->lock);
	bool last = --file->refs == 0;
	if (last && file->node) {
		TAILQ_REMOVE(&file->node->files, file, next);
		gb_node_unuse(table, file->node);
	}
	(void)pthread_mutex_unlock(&table->lock);
	if (last)
		gb_initfs_file_free(file);
}

int gb_initfs_file_close(struct gb_table *table, uint64_t fh, enum gb_file_type type, int32_t *ret_backing)
{
	*ret_backing = 0;
	(void)pthread_mutex_lock(&table->lock);
	struct gb_file *file = find_file(table, fh, type);
	if (file) {
		struct gb_slot *slot = &table->slots[(uint32_t)fh - 1];
		slot->file = NULL;
		slot->generation++;
		struct gb_node *node = file->node;
		/* The last plain file of a node: whether it is passed through is decided anew at its next open. */
		if (node && type == GB_FILE_PLAIN && --node->opens == 0) {
			*ret_backing = node->backing_id;
			node->backing_id = 0;
			node->backing = GB_BACKING_UNKNOWN;
		}
	}
	(void)pthread_mutex_unlock(&table->lock);
	if (!file)
		return -EBADF;
	gb_initfs_file_put(table, file);
	return 0;
}
