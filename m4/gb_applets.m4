# SPDX-License-Identifier: MIT
# Applet switches: which are built, and which libraries that takes.

# GB_ARG_APPLET(NAME, [LIBRARIES], [DEFAULT = yes])
# --disable-NAME (or --enable-NAME when the default is no), the conditional ENABLE_NAME, and a place in the applet
# table. DEFAULT is yes, no, or dynamic: in the dynamic binary, but not in the static one for guests.
# LIBRARIES are words among: blkid fuse md nl nl-route protobuf. The one-line summary of an applet stands in its
# descriptor, not here.
AC_DEFUN([GB_ARG_APPLET], [
  m4_pushdef([gb_id], m4_translit([$1], [-], [_]))
  AC_ARG_ENABLE([$1],
    m4_if([$3], [no], [AS_HELP_STRING([--enable-$1], [build the applet $1])],
                      [AS_HELP_STRING([--disable-$1],
                         [leave the applet $1 out]m4_if([$3], [dynamic], [[ (the default for the static binary)]]))]),
    [], [m4_if([$3], [dynamic],
               [AS_IF([test "x$enable_static_binary" = xyes], [enable_]gb_id[=no], [enable_]gb_id[=yes])],
               [enable_]gb_id[=m4_default([$3], [yes])])])
  AS_IF([test "x$enable_]gb_id[" = xyes], [
    GB_APPLETS="$GB_APPLETS $1"
    GB_APPLET_LIST="$GB_APPLET_LIST GB_APPLET(]gb_id[)"
    m4_foreach_w([gb_lib], [$2], [[gb_need_]m4_translit(gb_lib, [-], [_])[=yes]
    ])
  ])
  AM_CONDITIONAL([ENABLE_]m4_toupper(gb_id), [test "x$enable_]gb_id[" = xyes])
  m4_popdef([gb_id])
])

# _GB_LIBRARY(WORD, VARIABLE, PKG-CONFIG MODULE)
AC_DEFUN([_GB_LIBRARY], [
  AS_IF([test "x$gb_need_$1" = xyes], [
    PKG_CHECK_MODULES([$2], [$3])
    GB_LIBRARIES="$GB_LIBRARIES $1"
  ])
  AM_CONDITIONAL([NEED_$2], [test "x$gb_need_$1" = xyes])
])

# GB_APPLETS_DONE: looks for the libraries of what is enabled, hands the table to the build.
AC_DEFUN([GB_APPLETS_DONE], [
  AS_IF([test -z "$GB_APPLETS"], [AC_MSG_ERROR([every applet is disabled: nothing to build])])
  AS_IF([test "x$gb_need_nl_route" = xyes], [gb_need_nl=yes])
  _GB_LIBRARY([blkid], [BLKID], [blkid])
  _GB_LIBRARY([fuse], [FUSE], [fuse3])
  _GB_LIBRARY([md], [MD], [libmd])
  _GB_LIBRARY([nl], [NL], [libnl-3.0])
  _GB_LIBRARY([nl_route], [NL_ROUTE], [libnl-route-3.0])
  _GB_LIBRARY([protobuf], [PROTOBUF], [libprotobuf-c])
  AS_IF([test "x$gb_need_protobuf" = xyes], [
    AC_PATH_PROG([PROTOC_C], [protoc-c])
    AS_IF([test -z "$PROTOC_C"], [AC_MSG_ERROR([protoc-c not found (Debian: protobuf-c-compiler)])])
  ])
  AC_SUBST([GB_APPLETS])
  AC_SUBST([GB_APPLET_LIST])
])
