# SPDX-License-Identifier: MIT
# The small static binary: everything on musl, in the folder that tools/musl-deps made.

# GB_MUSL: --with-musl=DIR; stands before AC_PROG_CC, whose answers it gives.
AC_DEFUN([GB_MUSL], [
  AC_ARG_WITH([musl], AS_HELP_STRING([--with-musl=DIR],
    [link statically with musl and the libraries that tools/musl-deps built into DIR; for the architecture that they
     are for]), [], [with_musl=no])
  AS_IF([test "x$with_musl" = xyes], [AC_MSG_ERROR([--with-musl: which folder? (tools/musl-deps DIR makes one)])])
  AS_IF([test "x$with_musl" != xno], [
    AS_IF([test ! -f "$with_musl/state" || test ! -f "$with_musl/config"],
      [AC_MSG_ERROR([--with-musl=$with_musl: holds no libraries: 'tools/musl-deps $with_musl' builds them])])
    gb_musl=`cd "$with_musl" && pwd -P`
    . "$gb_musl/config"
    AS_IF([test "x$enable_static_binary" = xno], [AC_MSG_ERROR([--with-musl makes a static binary])])
    enable_static_binary=yes
    CC="$gb_musl/bin/musl-gcc"
    AR=$gb_musl_triplet-gcc-ar
    RANLIB=$gb_musl_triplet-gcc-ranlib
    NM=$gb_musl_triplet-gcc-nm
    STRIP=$gb_musl_triplet-strip
    AS_IF([test -z "$CFLAGS"], [CFLAGS=$gb_musl_cflags])
    # What file it was is in assertions; where that lay is of no interest to the guest.
    CFLAGS="$CFLAGS -ffile-prefix-map=$ac_abs_confdir=/guestbox"
    LDFLAGS="-L$gb_musl/lib $gb_musl_ldflags $LDFLAGS"
    PKG_CONFIG_PATH=
    PKG_CONFIG_LIBDIR=$gb_musl/lib/pkgconfig
    export PKG_CONFIG_PATH PKG_CONFIG_LIBDIR
    # Programs for another machine are not run to see whether they do.
    gb_build=`uname -m`
    AS_CASE([$gb_musl_triplet], ["$gb_build"-*], [], [cross_compiling=yes])
  ])
  dnl not named as this macro is: m4 would expand it for ever
  MUSL_DIR=$gb_musl
  AC_SUBST([MUSL_DIR])
])
