# SPDX-License-Identifier: MIT
# What the C library lacks of what the code calls: common/libc supplies it, under the names of the headers that
# glibc has it in.
AC_DEFUN([GB_LIBC], [
  gb_libc=
  AC_CHECK_FUNCS([arc4random close_range statx fsopen renameat2 strerrorname_np], [], [gb_libc="$gb_libc $ac_func"])
  AS_IF([test -n "$gb_libc"], [GB_CPPFLAGS="-I\$(top_srcdir)/common/libc $GB_CPPFLAGS"])
])
