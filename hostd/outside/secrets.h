/* Secrets of the host, each bound to the origins that it may be sent to. They come from three places:
 *   lines NAME=ORIGIN[,ORIGIN…] VALUE of a file that only its owner can read,
 *   variables FERMATA_SECRET_NAME=ORIGIN[,ORIGIN…] VALUE of hostd's environment,
 *   other variables that hostd was told of on its command line, each with its origins.
 * They are named by reference, "${secret:NAME}", and put in at the last moment (http.c), into requests
 * to their origins only; nothing else ever sees them, and what comes back has them blanked out. */
#ifndef FM_SECRETS_H
#define FM_SECRETS_H

#include "buf.h"
#include "err.h"

struct secrets;

#define SECRETS_OPEN "${secret:"

/* A variable of the environment that is a secret, and its origins, "ORIGIN[,ORIGIN…]". */
struct secrets_variable {
    const char *name, *origins;
};

/* Reads the file (NULL: none), the variables FERMATA_SECRET_…, and these. A secret without an origin is
 * logged; it goes nowhere. Returns NULL with err: FM_PERMISSION_DENIED (others may read the file),
 * FM_INVALID_ARGUMENT (a line that is none, with its number; a text that is no origin), FM_NOT_FOUND (the
 * file, or a variable, is not there), FM_UNAVAILABLE. */
struct secrets *secrets_read(const char *file, const struct secrets_variable *variables, size_t n,
                             struct fm_err *err);
void secrets_free(struct secrets *s);
/* Puts values in place of the references in `text`, which is part of a request to `url`. NAME has 1 to
 * 128 of A-Z a-z 0-9 _ . - ; that of a variable FERMATA_SECRET_… is what follows, or all of it. Returns 0,
 * or -FM_FAILED_PRECONDITION naming a secret that is not there, or is not for the URL's origin: never its
 * value. Each value put in is also appended to `used`, ended by NUL. */
int secrets_expand(const struct secrets *s, const char *text, const char *url, struct fm_buf *out,
                   struct fm_buf *used, struct fm_err *err) FM_MUST_CHECK;
/* Overwrites every occurrence of the used values with '*', but of those that have less than 16 bytes: they
 * are words that texts have without them, and of digits that stand in the place of a number of JSON, or are
 * part of a longer one. True when there was one. */
bool secrets_redact(const struct fm_buf *used, char *text, size_t n);
/* How many bytes at the end of the text may be the beginning of a used value: the longest such
 * end. */
size_t secrets_tail(const struct fm_buf *used, const char *text, size_t n);

/* The same for text that did not come as bytes of a response, but was put together from parts of it
 * (the text of a model, piece by piece): every value that was put into a request by this name counts.
 * `json`: the text is JSON, whose numbers stay. `ret_tail` may be NULL. On the loop's thread. */
bool secrets_hide(const char *name, bool json, char *text, size_t n, size_t *ret_tail);

/* Whether the text has a secret in it: one of the file that was read, of the variables
 * FERMATA_SECRET_…, of those named on the command line. */
bool secrets_known(const char *text);
/* Blanks out every secret of the file that was read, and of the variables FERMATA_SECRET_…, used or
 * not: for what a program says that may have read them. */
void secrets_hide_known(char *text, size_t n);

#endif
