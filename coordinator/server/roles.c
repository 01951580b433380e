/* The file of roles. See roles.h. */
#include "roles.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "method.h"
#include "name.h"
#include "principal.h"

#define MAX_FILE_BYTES (4u << 20)
#define USER "user:"
#define EVERYBODY "user:*"

struct entry {
    char *name; /* "user:ann" */
    unsigned rights;
    size_t line;
};

struct roles {
    struct entry *entries; /* by name */
    size_t n;
    unsigned everybody;
    size_t everybody_line; /* 0: there is none */
};

/* Each role has those that it includes. */
static const struct named_role {
    const char *name;
    unsigned rights;
} named_roles[] = {
    {"viewer",    RIGHT(ROLE_VIEWER)                                               },
    {"responder", RIGHT(ROLE_VIEWER) | RIGHT(ROLE_RESPONDER)                       },
    {"submitter", RIGHT(ROLE_VIEWER) | RIGHT(ROLE_SUBMITTER)                       },
    {"author",    RIGHT(ROLE_VIEWER) | RIGHT(ROLE_SUBMITTER) | RIGHT(ROLE_AUTHOR)  },
    {"operator",  RIGHT(ROLE_VIEWER) | RIGHT(ROLE_RESPONDER) | RIGHT(ROLE_OPERATOR)},
    {"admin",     ALL_RIGHTS & ~RIGHT(ROLE_HOST)                                   },
};
#define ROLE_NAMES "viewer, responder, submitter, author, operator, admin"

/* ---- lines ---- */

/* A piece of the text, without the blanks around it. */
struct piece {
    const char *p;
    size_t n;
};

static struct piece trim(const char *p, size_t n)
{
    while (n > 0 && isspace((unsigned char)*p)) {
        p++;
        n--;
    }
    while (n > 0 && isspace((unsigned char)p[n - 1]))
        n--;
    return (struct piece){p, n};
}

/* What stands before the separator; `rest` goes on behind it, or is empty. */
static struct piece cut(struct piece *rest, char separator)
{
    const char *at = memchr(rest->p, separator, rest->n);
    size_t n = at == NULL ? rest->n : (size_t)(at - rest->p), skip = at == NULL ? n : n + 1;
    struct piece first = trim(rest->p, n);
    *rest = (struct piece){rest->p + skip, rest->n - skip};
    return first;
}

static int add_role(struct piece word, size_t line, unsigned *rights, struct fm_err *err)
{
    for (size_t i = 0; i < sizeof(named_roles) / sizeof(named_roles[0]); i++)
        if (strlen(named_roles[i].name) == word.n && memcmp(named_roles[i].name, word.p, word.n) == 0) {
            *rights |= named_roles[i].rights;
            return 0;
        }
    return fm_err_set(err, FM_INVALID_ARGUMENT, "roles", "line %zu: \"%.*s\" is no role: " ROLE_NAMES, line,
                      word.n < 64 ? (int)word.n : 64, word.p);
}

static int add_roles(struct piece words, size_t line, unsigned *rights, struct fm_err *err)
{
    do {
        if (add_role(cut(&words, ','), line, rights, err) < 0)
            return -FM_INVALID_ARGUMENT;
    } while (words.n > 0);
    return 0;
}

/* The name's copy, or NULL with err. */
static char *take_name(struct piece who, size_t line, struct fm_err *err)
{
    const size_t n_user = sizeof(USER) - 1;
    char *name = fm_xcalloc(1, who.n + 1);
    memcpy(name, who.p, who.n);
    if (strncmp(name, USER, n_user) == 0 && (strcmp(name, EVERYBODY) == 0 || fm_name_ok(name + n_user)) &&
        strlen(name) == who.n)
        return name;
    (void)fm_err_set(err, FM_INVALID_ARGUMENT, "roles",
                     "line %zu: \"%.64s\": expected user:NAME, as in a person's certificate, or " EVERYBODY
                     " (hosts need no role)",
                     line, name);
    free(name);
    return NULL;
}

static int add_line(struct roles *r, struct piece line, size_t number, struct fm_err *err)
{
    unsigned rights = 0;
    struct piece who, text = cut(&line, '#');
    if (text.n == 0)
        return 0;
    if (memchr(text.p, '=', text.n) == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "roles", "line %zu: expected user:NAME = ROLE, ROLE …",
                          number);
    who = cut(&text, '=');
    char *name = take_name(who, number, err);
    if (name == NULL)
        return -FM_INVALID_ARGUMENT;
    if (add_roles(text, number, &rights, err) < 0) {
        free(name);
        return -FM_INVALID_ARGUMENT;
    }
    if (strcmp(name, EVERYBODY) != 0) {
        r->entries = fm_xgrow(r->entries, r->n, sizeof(*r->entries));
        r->entries[r->n++] = (struct entry){name, rights, number};
        return 0;
    }
    free(name);
    if (r->everybody_line != 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "roles",
                          "line %zu: " EVERYBODY " has a line already: %zu", number, r->everybody_line);
    r->everybody = rights;
    r->everybody_line = number;
    return 0;
}

/* ---- the whole ---- */

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c != 0 ? c : (x->line > y->line) - (x->line < y->line);
}

static int find_twice(const struct roles *r, struct fm_err *err)
{
    for (size_t i = 1; i < r->n; i++)
        if (strcmp(r->entries[i - 1].name, r->entries[i].name) == 0)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "roles", "line %zu: %s has a line already: %zu",
                              r->entries[i].line, r->entries[i].name, r->entries[i - 1].line);
    return 0;
}

struct roles *roles_parse(const char *text, size_t n, struct fm_err *err)
{
    struct roles *r = fm_xcalloc(1, sizeof(*r));
    int rc = 0;
    size_t number = 1;
    for (const char *end, *p = text; p < text + n && rc == 0; p = end + 1, number++) {
        end = memchr(p, '\n', (size_t)(text + n - p));
        if (end == NULL)
            end = text + n;
        rc = add_line(r, (struct piece){p, (size_t)(end - p)}, number, err);
    }
    if (r->n > 0)
        qsort(r->entries, r->n, sizeof(*r->entries), compare);
    if (rc == 0 && find_twice(r, err) == 0)
        return r;
    roles_free(r);
    return NULL;
}

struct roles *roles_read(const char *file, struct fm_err *err)
{
    struct roles *r = NULL;
    FILE *f = fopen(file, "re");
    char *text = malloc(MAX_FILE_BYTES + 1);
    size_t n = f != NULL && text != NULL ? fread(text, 1, MAX_FILE_BYTES + 1, f) : 0;
    if (f == NULL || text == NULL || ferror(f) != 0)
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, "roles", "%s", strerror(errno));
    else if (n > MAX_FILE_BYTES)
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, "roles", "it has more than %u bytes", MAX_FILE_BYTES);
    else
        r = roles_parse(text, n, err);
    if (r == NULL)
        fm_err_wrap(err, "--roles %s", file);
    if (f != NULL)
        (void)fclose(f);
    free(text);
    return r;
}

void roles_free(struct roles *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n; i++)
        free(r->entries[i].name);
    free(r->entries);
    free(r);
}

static int compare_name(const void *key, const void *entry)
{
    return strcmp(key, ((const struct entry *)entry)->name);
}

unsigned roles_of(const struct roles *r, const char *principal)
{
    const struct entry *e =
        r->n == 0 ? NULL : bsearch(principal, r->entries, r->n, sizeof(*r->entries), compare_name);
    return r->everybody | (e != NULL ? e->rights : 0);
}
