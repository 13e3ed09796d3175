/* SPDX-License-Identifier: MIT */
/* Memory of a process that waits. */
#include "common/sys/memory.h"

#include <link.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* What can be written may have been, relocated constants too: those segments stay. */
static int let_go(struct dl_phdr_info *info, size_t size, void *data)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size;
	(void)data;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t start = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
		uintptr_t end = (info->dlpi_addr + segment->p_vaddr + segment->p_filesz) & ~(page - 1);

		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && end > start)
			(void)madvise((void *)start, end - start, MADV_DONTNEED); /* private, of a file: read again (madvise(2)) */
	}
	return 0;
}

void gb_memory_settle(void)
{
#ifdef __GLIBC__
	/* It would learn from the first large buffer to keep so much and more, for good (M_MMAP_THRESHOLD, mallopt(3)). */
	enum { LARGE = 128 << 10 };
	(void)mallopt(M_MMAP_THRESHOLD, LARGE);
	(void)mallopt(M_TRIM_THRESHOLD, LARGE);
#endif
	(void)dl_iterate_phdr(let_go, NULL);
}
