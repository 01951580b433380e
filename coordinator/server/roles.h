/* Who may do what: the file of --roles. Lines `user:NAME = ROLE, ROLE`, `user:*` for everybody with a
 * person's certificate, and # comments. Who has no line may do nothing. */
#ifndef FM_SERVER_ROLES_H
#define FM_SERVER_ROLES_H

#include <stddef.h>

#include "err.h"

struct roles;

/* Reads the file's n bytes. NULL with err, which names the line. */
struct roles *roles_parse(const char *text, size_t n, struct fm_err *err);
/* Reads the file. NULL with err. */
struct roles *roles_read(const char *file, struct fm_err *err);
void roles_free(struct roles *r);
/* The rights (RIGHT of method.h) of "user:ann". */
unsigned roles_of(const struct roles *r, const char *principal);

#endif
