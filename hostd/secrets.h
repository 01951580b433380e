/* Secrets of the host: NAME=value lines of a file that only its owner can read, or environment variables.
 * They are named by reference, "${secret:NAME}", and put in at the last moment (http.c); nothing else ever
 * sees them. */
#ifndef FM_SECRETS_H
#define FM_SECRETS_H

#include "buf.h"
#include "err.h"

struct secrets;

#define SECRETS_OPEN "${secret:"
/* Ends the name in a reference to the value of "<origin> <value>" in an environment variable
 * FERMATA_SECRET_…; for the type http, which checks the origin first and lets no flow say this. */
#define SECRETS_BOUND "#2"

/* Reads the file; NULL: none. Returns NULL with err: FM_PERMISSION_DENIED (others may read it),
 * FM_INVALID_ARGUMENT (a line that is none, with its number), FM_NOT_FOUND, FM_UNAVAILABLE. */
struct secrets *secrets_read(const char *file, struct fm_err *err);
void secrets_free(struct secrets *s);
/* The value, or NULL. Names are 1 to 128 of A-Z a-z 0-9 _ . - ; those of the environment A-Z 0-9 _ only. */
const char *secrets_find(const struct secrets *s, const char *name);

/* Puts values in place of the references in `text`. Returns 0, or -FM_FAILED_PRECONDITION naming a secret
 * that is not there. Each value put in is also appended to `used`, ended by NUL. */
int secrets_expand(const struct secrets *s, const char *text, struct fm_buf *out, struct fm_buf *used,
                   struct fm_err *err) FM_MUST_CHECK;
/* Overwrites every occurrence of the used values with '*'. */
void secrets_redact(const struct fm_buf *used, char *text, size_t n);

#endif
