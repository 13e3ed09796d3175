# SPDX-License-Identifier: MIT
# Compiler flags: warnings, hardening, sanitizers, the static binary.

# _GB_TRY_FLAG(VARIABLE, FLAG): adds FLAG to VARIABLE if the compiler takes it.
AC_DEFUN([_GB_TRY_FLAG], [
  AC_CACHE_CHECK([whether $CC takes $2], AS_TR_SH([gb_cv_flag_$2]), [
    gb_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], AS_TR_SH([gb_cv_flag_$2])=yes, AS_TR_SH([gb_cv_flag_$2])=no)
    CFLAGS=$gb_save_CFLAGS
  ])
  AS_IF([test "$AS_TR_SH([gb_cv_flag_$2])" = yes], [$1="$$1 $2"])
])

AC_DEFUN([GB_STATIC_BINARY], [
  AC_ARG_ENABLE([static-binary],
    AS_HELP_STRING([--enable-static-binary], [link guestbox statically, for an initramfs]),
    [], [enable_static_binary=no])
  AS_IF([test "x$enable_static_binary" = xyes], [
    GB_LDFLAGS="$GB_LDFLAGS -static"
    PKG_CONFIG="$PKG_CONFIG --static"
  ])
])

AC_DEFUN([GB_SANITIZERS], [
  AC_ARG_ENABLE([sanitizers],
    AS_HELP_STRING([--enable-sanitizers], [build with AddressSanitizer and UndefinedBehaviorSanitizer]),
    [], [enable_sanitizers=no])
  AS_IF([test "x$enable_sanitizers" = xyes], [
    AS_IF([test "x$enable_static_binary" = xyes], [AC_MSG_ERROR([the sanitizers need a dynamic binary])])
    GB_CFLAGS="$GB_CFLAGS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
    GB_LDFLAGS="$GB_LDFLAGS -fsanitize=address,undefined"
  ])
])

AC_DEFUN([GB_COVERAGE], [
  AC_ARG_ENABLE([coverage],
    AS_HELP_STRING([--enable-coverage], [count the lines that run, with gcov: make coverage configures a tree like that]),
    [], [enable_coverage=no])
  AS_IF([test "x$enable_coverage" = xyes], [
    AS_IF([test "x$enable_sanitizers$enable_static_binary" != xnono],
      [AC_MSG_ERROR([--enable-coverage goes with neither the sanitizers nor a static binary])])
    # what threads count is counted; what the optimizer would merge stays apart
    GB_CFLAGS="$GB_CFLAGS -g --coverage -fprofile-update=atomic -fprofile-abs-path"
    CFLAGS="$CFLAGS -O0" # behind configure's own -O2
    GB_LDFLAGS="$GB_LDFLAGS --coverage"
  ])
  AM_CONDITIONAL([ENABLE_COVERAGE], [test "x$enable_coverage" = xyes])
])

AC_DEFUN([GB_COMPILER_FLAGS], [
  AC_ARG_ENABLE([werror], AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors (CI does)]),
    [], [enable_werror=no])
  m4_foreach_w([gb_flag], [-std=gnu11 -Wall -Wextra -Wshadow -Wundef -Wvla -Wformat=2 -Wformat-truncation=1
      -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wpointer-arith
      -Wimplicit-fallthrough -Wlogical-op -Wduplicated-cond -Wnull-dereference -Wunused-result
      -Wno-missing-field-initializers -fno-common -ffunction-sections -fdata-sections
      -fstack-protector-strong -fstack-clash-protection],
    [_GB_TRY_FLAG([GB_CFLAGS], gb_flag)])
  AS_IF([test "x$enable_werror" = xyes], [GB_CFLAGS="$GB_CFLAGS -Werror"])
  AS_IF([test "x$enable_sanitizers$enable_coverage" = xnono], [GB_CPPFLAGS="$GB_CPPFLAGS -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"])
  GB_LDFLAGS="$GB_LDFLAGS -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack"
  AC_SUBST([GB_CPPFLAGS])
  AC_SUBST([GB_CFLAGS])
  AC_SUBST([GB_LDFLAGS])
])
