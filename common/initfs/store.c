/* SPDX-License-Identifier: MIT */
/* The virtual file's bytes: a memfd with every seal, or where there is none an unlinked file. */
#include "common/initfs/store.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/io.h"

/* Linux 6.3; Debian 12's glibc has neither. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

#if __SIZEOF_POINTER__ == 8
typedef Elf64_Ehdr elf_header;
typedef Elf64_Phdr elf_segment;
enum { ELF_CLASS = ELFCLASS64 };
#else
typedef Elf32_Ehdr elf_header;
typedef Elf32_Phdr elf_segment;
enum { ELF_CLASS = ELFCLASS32 };
#endif

#if defined(__x86_64__)
enum { ELF_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { ELF_MACHINE = EM_AARCH64 };
#elif defined(__i386__)
enum { ELF_MACHINE = EM_386 };
#elif defined(__arm__)
enum { ELF_MACHINE = EM_ARM };
#elif defined(__riscv)
enum { ELF_MACHINE = EM_RISCV };
#else
#error "name this machine's ELF number here"
#endif

int gb_initfs_store_check(const void *head, size_t len, const char *name, struct gb_err *err)
{
	elf_header elf;

	if (len >= 2 && memcmp(head, "#!", 2) == 0)
		return gb_err_set(err, ENOEXEC, "%s: a script: its interpreter may not be in the share (--force takes it)", name);
	if (len < sizeof elf)
		return gb_err_set(err, ENOEXEC, "%s: not an ELF program", name);
	memcpy(&elf, head, sizeof elf);
	if (memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0)
		return gb_err_set(err, ENOEXEC, "%s: not an ELF program", name);
	if (elf.e_ident[EI_CLASS] != ELF_CLASS || elf.e_machine != ELF_MACHINE)
		return gb_err_set(err, ENOEXEC, "%s: for another machine (ELF class %d, machine %d; --force takes it)", name,
				  elf.e_ident[EI_CLASS], elf.e_machine);
	if (elf.e_type != ET_EXEC && elf.e_type != ET_DYN)
		return gb_err_set(err, ENOEXEC, "%s: not an executable (ELF type %d)", name, elf.e_type);
	if (elf.e_phentsize != sizeof(elf_segment) || elf.e_phoff > len ||
	    (len - elf.e_phoff) / sizeof(elf_segment) < elf.e_phnum)
		return gb_err_set(err, ENOEXEC, "%s: its ELF program headers are damaged", name);
	for (unsigned i = 0; i < elf.e_phnum; i++) {
		elf_segment segment;

		memcpy(&segment, (const char *)head + elf.e_phoff + i * sizeof segment, sizeof segment);
		if (segment.p_type == PT_INTERP)
			return gb_err_set(err, ENOEXEC,
					  "%s: dynamically linked: the share may have no dynamic linker (--force takes it)", name);
	}
	return 0;
}

int gb_initfs_store_copy(int to, int from, uint64_t len)
{
	gb_autofree char *buffer = NULL;

	while (len > 0) {
		size_t step = len < (1 << 30) ? (size_t)len : 1 << 30;
		ssize_t n = sendfile(to, from, NULL, step);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EINVAL || errno == ENOSYS))
			break;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* shorter than it was */
		len -= (uint64_t)n;
	}
	if (len > 0 && !(buffer = malloc(1 << 16)))
		return -ENOMEM;
	while (len > 0) {
		ssize_t n = gb_io_read(from, buffer, len < (1 << 16) ? (size_t)len : 1 << 16);
		int r;

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		r = gb_io_write(to, buffer, (size_t)n);
		if (r < 0)
			return r;
		len -= (uint64_t)n;
	}
	return 0;
}

/* Memory that can be sealed, or (*ret_file) an unlinked file where the kernel gives no memfd. */
static int blank(bool *ret_file)
{
	static const unsigned flags[] = { MFD_CLOEXEC | MFD_NOEXEC_SEAL, MFD_CLOEXEC | MFD_ALLOW_SEALING };
	char path[4096];
	const char *tmp;

	*ret_file = false;
	for (size_t i = 0; i < GB_ARRAY_LEN(flags); i++) {
		int fd = memfd_create("init.krun", flags[i]);
		if (fd >= 0)
			return fd;
		if (errno != EINVAL) /* EINVAL: a kernel before 6.3, which does not know the flag */
			break;
	}
	if (errno != ENOSYS && errno != EPERM && errno != EACCES)
		return -errno;
	*ret_file = true;
	tmp = secure_getenv("TMPDIR");
	if (!tmp || !*tmp)
		tmp = "/tmp";
	if (strlen(tmp) + sizeof "/guestbox.XXXXXX" > sizeof path)
		return -ENAMETOOLONG;
	(void)stpcpy(stpcpy(path, tmp), "/guestbox.XXXXXX");
	int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	(void)unlink(path);
	return fd;
}

/* Makes what fd holds unchangeable: *fd is then another descriptor if it had to be opened anew. */
static int seal(int *fd, bool file)
{
	const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

	if (file) {
		struct gb_io_path path;
		int again = open(gb_io_path(*fd, &path), O_RDONLY | O_CLOEXEC);
		if (again < 0)
			return -errno;
		(void)close(*fd);
		*fd = again;
		return 0;
	}
	if (fcntl(*fd, F_ADD_SEALS, all) < 0)
		return -errno;
	int have = fcntl(*fd, F_GET_SEALS);
	if (have < 0)
		return -errno;
	return (have & all) == all ? 0 : -EPERM;
}

int gb_initfs_store_open(struct gb_store *store, const char *file, bool force, struct gb_err *err)
{
	const char *path = file ? file : "/proc/self/exe", *name = file ? file : "this program";
	struct stat st, copied;
	bool plain;
	int r;

	gb_autoclose int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (from < 0)
		return gb_err_sys(err, errno, "%s", name);
	if (fstat(from, &st) < 0)
		return gb_err_sys(err, errno, "%s", name);
	if (!S_ISREG(st.st_mode))
		return gb_err_set(err, GB_E_REFUSED, "%s: not a regular file", name);
	if (st.st_size == 0)
		return gb_err_set(err, GB_E_REFUSED, "%s: empty", name);

	gb_autoclose int fd = blank(&plain);
	if (fd < 0)
		return gb_err_sys(err, -fd, "memory for %s", name);
	r = gb_initfs_store_copy(fd, from, (uint64_t)st.st_size);
	if (r == 0)
		r = seal(&fd, plain);
	if (r < 0)
		return gb_err_sys(err, -r, "copy of %s", name);
	if (fstat(fd, &copied) < 0)
		return gb_err_sys(err, errno, "copy of %s", name);
	if (copied.st_size != st.st_size)
		return gb_err_set(err, EIO, "copy of %s: %lld of %lld bytes", name, (long long)copied.st_size,
				  (long long)st.st_size);
	void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return gb_err_sys(err, errno, "map of %s", name);
	r = force ? 0 : gb_initfs_store_check(map, (size_t)st.st_size, name, err);
	if (r < 0) {
		(void)munmap(map, (size_t)st.st_size);
		if (err)
			err->code = GB_E_REFUSED;
		return gb_err_wrap(err, "--init");
	}
	*store = (struct gb_store){ .fd = gb_take_fd(&fd), .map = map, .size = (uint64_t)st.st_size,
				    .mtime = st.st_mtime, .sealed = !plain };
	return 0;
}

void gb_initfs_store_close(struct gb_store *store)
{
	if (store->map)
		(void)munmap((void *)(uintptr_t)store->map, store->size);
	if (store->fd >= 0)
		(void)close(store->fd);
	*store = (struct gb_store){ .fd = -1 };
}
