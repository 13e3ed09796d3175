/* SPDX-License-Identifier: MIT */
/* For cppcheck, which is not shown the system's headers but those of queues: what else the code is made of. */
#define RB_HEAD(n, t) struct n { struct t *rbh_root; }
#define RB_ENTRY(t) struct { struct t *rbe_left, *rbe_right, *rbe_parent; int rbe_color; }
#define RB_GENERATE_INTERNAL(n, t, f, cmp, attr) struct t *n##_RB_MIN(struct n *); struct t *n##_RB_INSERT(struct n *, struct t *)
#define RB_INIT(h) ((h)->rbh_root = 0)
#define RB_MIN(n, h) n##_RB_MIN(h)
#define RB_INSERT(n, h, e) n##_RB_INSERT(h, e)
#define RB_REMOVE(n, h, e) n##_RB_INSERT(h, e)
#define PRIu32 "u"
#define PRIu64 "lu"
#define PRIi64 "ld"
#define PRId64 "ld"
#define PRIx64 "lx"
#define SCNu64 "lu"
/* Headers that configure has seen. */
#define PROTOBUF_C_VERSION_NUMBER 1004001
#define LOOP_CONFIGURE 0x4C0A
