/* Secrets. See secrets.h. */
#define _GNU_SOURCE
#include "secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "name.h"
#include "origin.h"

#define MAX_FILE_BYTES (1024 * 1024)
#define PREFIX "FERMATA_SECRET_"
#define MIN_REDACTED 16 /* shorter ones are words that mean something: "ollama", "EMPTY", 1234 */
#define MIN_LOGGED 4    /* in what only people read */

/* What was put into requests: name and value, each ended by NUL, each pair once. */
static struct fm_buf sent;
/* The values of all that secrets_read has found, each ended by NUL. */
static struct fm_buf known_values;

struct secrets {
    struct entry {
        char *name, *value;
        struct fm_buf origins; /* as origin.h writes them, each ended by NUL; empty: it goes nowhere */
    } * entries;
    size_t n;
};

/* ---- reading ---- */

static void entry_free(struct entry *e)
{
    explicit_bzero(e->value, strlen(e->value));
    free(e->name);
    free(e->value);
    fm_buf_done(&e->origins);
}

/* Reads "ORIGIN[,ORIGIN…]"; false: some of it is none. */
static bool read_origins(const char *text, size_t n, struct fm_buf *out)
{
    const char *end = text + n;
    for (;;) {
        char origin[ORIGIN_BYTES];
        const char *comma = memchr(text, ',', (size_t)(end - text));
        size_t length = (size_t)((comma != NULL ? comma : end) - text);
        if (origin_read(text, length, origin) < 0)
            return false;
        fm_buf_append(out, origin, strlen(origin) + 1);
        if (comma == NULL)
            return true;
        text = comma + 1;
    }
}

/* Takes "ORIGIN[,ORIGIN…] VALUE"; what does not begin so is a value without an origin. False: it begins
 * with what should be an origin, and is none. */
static bool add_bound(struct secrets *s, const char *name, size_t n_name, const char *text)
{
    size_t n = strcspn(text, " ");
    const char *scheme = strstr(text, "://");
    bool is_bound = text[n] == ' ' && scheme != NULL && scheme < text + n;
    struct entry e = {0};
    if (is_bound && !read_origins(text, n, &e.origins)) {
        fm_buf_done(&e.origins);
        return false;
    }
    const char *value = is_bound ? text + n + strspn(text + n, " ") : text;
    e.name = fm_xmemdup(name, n_name + 1);
    e.name[n_name] = '\0';
    e.value = fm_xstrdup(value);
    if (!is_bound)
        FM_LOG(WARN, HOST,
               "a secret has no origin, so it is sent nowhere: write NAME=https://HOST VALUE instead of "
               "NAME=VALUE",
               FM_STR("name", e.name));
    s->entries = fm_xrealloc(s->entries, (s->n + 1) * sizeof(*s->entries));
    s->entries[s->n++] = e;
    return true;
}

static int add_line(struct secrets *s, char *line, size_t number, const char *file, struct fm_err *err)
{
    size_t n = strlen(line);
    while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' '))
        line[--n] = '\0';
    if (n == 0 || line[0] == '#')
        return 0;
    char *eq = strchr(line, '=');
    size_t name = eq == NULL ? 0 : (size_t)(eq - line);
    if (name == 0 || name > FM_MAX_NAME_BYTES || fm_name_span(line) < name)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "secrets",
                          "line %zu of %s is not NAME=ORIGIN VALUE with a name of " FM_NAME_RULE, number,
                          file);
    if (!add_bound(s, line, name, eq + 1))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "secrets",
                          "line %zu of %s: what stands before the value must be an origin such as "
                          "https://api.example.com, or several with commas between them",
                          number, file);
    return 0;
}

static int read_file(struct secrets *s, const char *file, struct fm_err *err)
{
    fm_autoclose int fd = open(file, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fm_err_set(err, errno == ENOENT ? FM_NOT_FOUND : FM_PERMISSION_DENIED, "secrets",
                          "--secrets %s cannot be read: %s", file, strerror(errno));
    if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return fm_err_set(err, FM_PERMISSION_DENIED, "secrets",
                          "--secrets %s has mode %04o: only its owner may have access (chmod 600)", file,
                          (unsigned)st.st_mode & 07777);
    if (st.st_size > MAX_FILE_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "secrets", "--secrets %s has %lld bytes; the limit is %d",
                          file, (long long)st.st_size, MAX_FILE_BYTES);
    size_t n = (size_t)st.st_size, got = 0;
    fm_autofree char *text = fm_xcalloc(n + 1, 1);
    while (got < n) {
        ssize_t r = read(fd, text + got, n - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        got += (size_t)r;
    }
    size_t number = 0;
    char *save = NULL;
    int rc = 0;
    /* strtok_r takes empty lines for none, so lines are cut here: their numbers count. */
    for (char *line = text; line != NULL && rc == 0; line = save) {
        char *newline = strchr(line, '\n');
        save = newline == NULL ? NULL : newline + 1;
        if (newline != NULL)
            *newline = '\0';
        rc = add_line(s, line, ++number, file, err);
    }
    explicit_bzero(text, n);
    return rc;
}

/* The variables that were named on the command line: their values are all value. */
static int add_named(struct secrets *s, const struct secrets_variable *v, struct fm_err *err)
{
    const char *value = getenv(v->name);
    struct entry e = {0};
    if (value == NULL || value[0] == '\0')
        return fm_err_set(err, FM_NOT_FOUND, "secret_env", "--secret-env %.128s: there is no such variable",
                          v->name);
    if (!read_origins(v->origins, strlen(v->origins), &e.origins)) {
        fm_buf_done(&e.origins);
        return fm_err_set(err, FM_INVALID_ARGUMENT, "secret_env",
                          "--secret-env %.128s=%.200s: expected an origin such as https://api.example.com, "
                          "or several with commas between them",
                          v->name, v->origins);
    }
    e.name = fm_xstrdup(v->name);
    e.value = fm_xstrdup(value);
    s->entries = fm_xrealloc(s->entries, (s->n + 1) * sizeof(*s->entries));
    s->entries[s->n++] = e;
    return 0;
}

static int add_prefixed(struct secrets *s, const char *variable, struct fm_err *err)
{
    const char *name = variable + strlen(PREFIX), *eq = strchr(variable, '=');
    if (eq == NULL || eq <= name || (size_t)(eq - name) > FM_MAX_NAME_BYTES)
        return 0;
    if (!add_bound(s, name, (size_t)(eq - name), eq + 1))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "secrets",
                          "the variable %.*s: what stands before the value must be an origin such as "
                          "https://api.example.com, or several with commas between them",
                          (int)(eq - variable), variable);
    return 0;
}

struct secrets *secrets_read(const char *file, const struct secrets_variable *variables, size_t n,
                             struct fm_err *err)
{
    struct secrets *s = fm_xcalloc(1, sizeof(*s));
    int rc = file == NULL ? 0 : read_file(s, file, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = add_named(s, &variables[i], err);
    for (size_t i = 0; rc == 0 && environ[i] != NULL; i++)
        if (strncmp(environ[i], PREFIX, strlen(PREFIX)) == 0)
            rc = add_prefixed(s, environ[i], err);
    if (rc < 0) {
        secrets_free(s);
        return NULL;
    }
    fm_buf_reset(&known_values);
    for (size_t i = 0; i < s->n; i++)
        fm_buf_append(&known_values, s->entries[i].value, strlen(s->entries[i].value) + 1);
    return s;
}

void secrets_free(struct secrets *s)
{
    if (s == NULL)
        return;
    if (sent.n > 0)
        explicit_bzero(sent.p, sent.n);
    fm_buf_done(&sent);
    if (known_values.n > 0)
        explicit_bzero(known_values.p, known_values.n);
    fm_buf_done(&known_values);
    for (size_t i = 0; i < s->n; i++)
        entry_free(&s->entries[i]);
    free(s->entries);
    free(s);
}

/* ---- putting in ---- */

static const struct entry *find(const struct secrets *s, const char *name)
{
    for (size_t i = 0; s != NULL && i < s->n; i++)
        if (strcmp(s->entries[i].name, name) == 0)
            return &s->entries[i];
    size_t prefix = strlen(PREFIX);
    return strncmp(name, PREFIX, prefix) == 0 && name[prefix] != '\0' ? find(s, name + prefix) : NULL;
}

/* The next of the values, or NULL; *at is where to look. */
static const char *next_value(const struct fm_buf *values, size_t *at)
{
    if (*at >= values->n)
        return NULL;
    const char *value = (const char *)values->p + *at;
    *at += strlen(value) + 1;
    return value;
}

static void remember(const char *name, const char *value)
{
    const char *known;
    for (size_t at = 0; (known = next_value(&sent, &at)) != NULL;) {
        const char *its = next_value(&sent, &at);
        if (its != NULL && strcmp(known, name) == 0 && strcmp(its, value) == 0)
            return;
    }
    fm_buf_append(&sent, name, strlen(name) + 1);
    fm_buf_append(&sent, value, strlen(value) + 1);
}

/* The values that were put into requests by this name, or (NULL) by any. */
static void sent_by(const char *name, struct fm_buf *values)
{
    const char *known;
    for (size_t at = 0; (known = next_value(&sent, &at)) != NULL;) {
        const char *value = next_value(&sent, &at);
        if (value != NULL && (name == NULL || strcmp(known, name) == 0))
            fm_buf_append(values, value, strlen(value) + 1);
    }
}

static void forget(struct fm_buf *values)
{
    if (values->n > 0)
        explicit_bzero(values->p, values->n);
    fm_buf_done(values);
}

static bool is_for(const struct entry *e, const char *origin)
{
    const char *own;
    for (size_t at = 0; (own = next_value(&e->origins, &at)) != NULL;)
        if (strcmp(own, origin) == 0)
            return true;
    return false;
}

/* The secret that the request may have; NULL with err. */
static const struct entry *secret_for(const struct secrets *s, const char *name, const char *url,
                                      struct fm_err *err)
{
    char origin[ORIGIN_BYTES];
    const struct entry *e = find(s, name);
    if (e == NULL) {
        (void)fm_err_set(
            err, FM_FAILED_PRECONDITION, "secrets",
            "this host has no secret %s: neither in its secrets file, nor as the variable " PREFIX
            "%s, nor as one that hostd --secret-env names (no other variable is a secret)",
            name, name);
        return NULL;
    }
    if (origin_of(url, origin) < 0) {
        (void)fm_err_set(err, FM_FAILED_PRECONDITION, "secrets",
                         "the secret %s is not sent: the request's URL has no origin", name);
        return NULL;
    }
    if (is_for(e, origin))
        return e;
    (void)fm_err_set(err, FM_FAILED_PRECONDITION, "secrets",
                     e->origins.n == 0
                         ? "the secret %s has no origin on this host, so it is not sent to %.200s: write "
                           "NAME=ORIGIN VALUE instead of NAME=VALUE there"
                         : "the secret %s is for an origin other than %.200s, so it is not sent",
                     name, origin);
    return NULL;
}

int secrets_expand(const struct secrets *s, const char *text, const char *url, struct fm_buf *out,
                   struct fm_buf *used, struct fm_err *err)
{
    for (;;) {
        const char *at = strstr(text, SECRETS_OPEN), *end = at == NULL ? NULL : strchr(at, '}');
        if (end == NULL)
            break;
        char name[FM_MAX_NAME_BYTES + 1];
        size_t n = (size_t)(end - at) - strlen(SECRETS_OPEN);
        snprintf(name, sizeof(name), "%.*s", (int)(n < FM_MAX_NAME_BYTES ? n : FM_MAX_NAME_BYTES),
                 at + strlen(SECRETS_OPEN));
        const struct entry *e = secret_for(s, name, url, err);
        if (e == NULL)
            return -FM_FAILED_PRECONDITION;
        fm_buf_append(out, text, (size_t)(at - text));
        fm_buf_append(out, e->value, strlen(e->value));
        fm_buf_append(used, e->value, strlen(e->value) + 1);
        remember(name, e->value);
        text = end + 1;
    }
    fm_buf_append(out, text, strlen(text));
    return 0;
}

/* ---- blanking out ---- */

/* What the text is: words, or perhaps JSON, in which a number is no text. */
enum text_kind { WORDS, PERHAPS_JSON };

static bool is_digits(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

/* A value of digits may also be part of a number, or be one in JSON, which stars would break: those are other
 * things that happen to have the same digits. */
static bool is_other_number(enum text_kind kind, const char *text, size_t n, const char *at, size_t length)
{
    const char *before = at, *after = at + length, *end = text + n;
    if (!is_digits(at, length))
        return false;
    if ((before > text && before[-1] >= '0' && before[-1] <= '9') ||
        (after < end && *after >= '0' && *after <= '9'))
        return true;
    if (kind == WORDS)
        return false;
    while (before > text && memchr(" \t\r\n", before[-1], 4) != NULL)
        before--;
    while (after < end && memchr(" \t\r\n", *after, 4) != NULL)
        after++;
    return before > text && memchr(":[,", before[-1], 3) != NULL && after < end &&
           memchr(",]}", *after, 3) != NULL;
}

static bool redact(const struct fm_buf *used, char *text, size_t n, size_t least, enum text_kind kind)
{
    const char *value;
    bool found = false;
    for (size_t i = 0; (value = next_value(used, &i)) != NULL;) {
        size_t length = strlen(value);
        if (length < least || length > n)
            continue;
        char *at = text;
        while ((at = memmem(at, n - (size_t)(at - text), value, length)) != NULL) {
            bool other = is_other_number(kind, text, n, at, length);
            if (!other)
                memset(at, '*', length);
            at += length;
            found = found || !other;
        }
    }
    return found;
}

bool secrets_redact(const struct fm_buf *used, char *text, size_t n)
{
    return redact(used, text, n, MIN_REDACTED, PERHAPS_JSON);
}

size_t secrets_tail(const struct fm_buf *used, const char *text, size_t n)
{
    const char *value;
    size_t longest = 0;
    for (size_t i = 0; (value = next_value(used, &i)) != NULL;) {
        size_t length = strlen(value);
        if (length < MIN_REDACTED)
            continue;
        size_t tail = length - 1 < n ? length - 1 : n;
        while (tail > longest && memcmp(text + n - tail, value, tail) != 0)
            tail--;
        longest = tail > longest ? tail : longest;
    }
    return longest;
}

bool secrets_hide(const char *name, bool json, char *text, size_t n, size_t *ret_tail)
{
    struct fm_buf values = {0};
    sent_by(name, &values);
    bool found = redact(&values, text, n, MIN_REDACTED, json ? PERHAPS_JSON : WORDS);
    if (ret_tail != NULL)
        *ret_tail = secrets_tail(&values, text, n);
    forget(&values);
    return found;
}

void secrets_hide_known(char *text, size_t n)
{
    struct fm_buf values = {0};
    sent_by(NULL, &values);
    (void)redact(&known_values, text, n, MIN_LOGGED, WORDS);
    (void)redact(&values, text, n, MIN_LOGGED, WORDS);
    forget(&values);
}

bool secrets_known(const char *text)
{
    size_t n = strlen(text);
    fm_autofree char *copy = strdup(text);
    struct fm_buf values = {0};
    sent_by(NULL, &values);
    bool known = copy == NULL || redact(&known_values, copy, n, MIN_LOGGED, WORDS) ||
                 redact(&values, copy, n, MIN_LOGGED, WORDS);
    forget(&values);
    return known;
}
