/* Secrets of the host: NAME=value lines of a file that only its owner can read, or environment
 * variables. They are named by reference, "${secret:NAME}", and put in at the last moment (http.c);
 * nothing else ever sees them, and what comes back has them blanked out. */
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
/* Puts values in place of the references in `text`. A name in the file has 1 to 128 of A-Z a-z 0-9
 * _ . - ; one that stands for an environment variable, only A-Z 0-9 _. Returns 0, or
 * -FM_FAILED_PRECONDITION naming a secret that is not there. Each value put in is also appended to
 * `used`, ended by NUL. */
int secrets_expand(const struct secrets *s, const char *text, struct fm_buf *out, struct fm_buf *used,
                   struct fm_err *err) FM_MUST_CHECK;
/* Overwrites every occurrence of the used values with '*', but of those that have less than 16 bytes: they
 * are words that texts have without them. True when there was one. */
bool secrets_redact(const struct fm_buf *used, char *text, size_t n);
/* How many bytes at the end of the text may be the beginning of a used value: the longest such
 * end. */
size_t secrets_tail(const struct fm_buf *used, const char *text, size_t n);

/* The same for text that did not come as bytes of a response, but was put together from parts of it
 * (the text of a model, piece by piece): every value that was put into a request by this name counts.
 * `ret_tail` may be NULL. On the loop's thread. */
bool secrets_hide(const char *name, char *text, size_t n, size_t *ret_tail);

/* Whether the text has a secret in it: one of the file that was read, of the variables
 * FERMATA_SECRET_…, or one that was put into a request. */
bool secrets_known(const char *text);
/* Blanks out every secret of the file that was read, and of the variables FERMATA_SECRET_…, used or
 * not: for what a program says that may have read them. */
void secrets_hide_known(char *text, size_t n);

#endif
