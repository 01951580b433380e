/* Errors: a gRPC status code, a message made where the fault was found, and the field it
 * concerns. A function that can fail returns 0 or a negative code and fills the fm_err that its
 * last parameter points to; on success it leaves it alone. An error is never printed where it is
 * made. Not thread-safe. */
#ifndef FM_ERR_H
#define FM_ERR_H

#include <stddef.h>

#if defined(__GNUC__)
#define FM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
/* For every function that can fail. The functions that set an error are not marked: where what
 * they return is not wanted, it is cast to void. */
#define FM_MUST_CHECK __attribute__((warn_unused_result))
#else
#define FM_PRINTF(fmt, args)
#define FM_MUST_CHECK
#endif

/* gRPC's status codes (grpc/status.h) by their numbers. */
enum fm_code {
    FM_OK = 0,
    FM_CANCELLED = 1,
    FM_UNKNOWN = 2,
    FM_INVALID_ARGUMENT = 3,
    FM_DEADLINE_EXCEEDED = 4,
    FM_NOT_FOUND = 5,
    FM_ALREADY_EXISTS = 6,
    FM_PERMISSION_DENIED = 7,
    FM_RESOURCE_EXHAUSTED = 8,
    FM_FAILED_PRECONDITION = 9,
    FM_ABORTED = 10,
    FM_OUT_OF_RANGE = 11,
    FM_UNIMPLEMENTED = 12,
    FM_INTERNAL = 13,
    FM_UNAVAILABLE = 14,
    FM_DATA_LOSS = 15,
    FM_UNAUTHENTICATED = 16
};

#define FM_MAX_VIOLATIONS 64

/* One faulty field. */
struct fm_violation {
    char field[128];
    char msg[384];
};

/* An error. `{0}` is no error. Its texts are valid UTF-8 whatever went into them: bytes that are
 * not become '?', as they go into protobuf strings. With several violations, field and msg are
 * those of the first, and `more` has them all. */
struct fm_err {
    enum fm_code code;
    char field[128];
    char msg[640];
    struct fm_violation *more; /* heap; NULL while there is at most one */
    size_t n_more;             /* how many are in more */
    unsigned retry_ms;         /* when it is worth trying again; 0: not said */
    size_t n_cut;              /* how many were found beyond FM_MAX_VIOLATIONS */
};

/* Sets the error (err may be NULL; what it held is released) and returns -code. field may be
 * NULL. */
int fm_err_set(struct fm_err *err, enum fm_code code, const char *field, const char *fmt, ...)
    FM_PRINTF(4, 5);
/* Adds a violation: the first one sets the error, later ones are listed in `more`. Returns
 * -code. */
int fm_err_add(struct fm_err *err, enum fm_code code, const char *field, const char *fmt, ...)
    FM_PRINTF(4, 5);
/* Says that it is worth trying again after this time. Returns -code. */
int fm_err_retry(struct fm_err *err, unsigned ms);
/* Puts context in front of the message: "context: message". */
void fm_err_wrap(struct fm_err *err, const char *fmt, ...) FM_PRINTF(2, 3);
/* Copies src into dst, which must be empty or released. */
void fm_err_copy(struct fm_err *dst, const struct fm_err *src);
/* Releases what it holds and empties it. */
void fm_err_done(struct fm_err *err);
/* "INVALID_ARGUMENT" and so on; "UNKNOWN" for an unknown code. */
const char *fm_code_name(int code);

#endif
