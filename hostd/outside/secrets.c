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

#include "mem.h"
#include "name.h"

#define MAX_FILE_BYTES (1024 * 1024)
#define BOUND "FERMATA_SECRET_"
#define MIN_REDACTED 16 /* shorter ones are words that mean something: "ollama", "EMPTY", 1234 */
#define MIN_LOGGED 4    /* in what only people read */

/* What was put into requests: name and value, each ended by NUL, each pair once. */
static struct fm_buf sent;
/* All that secrets_read has found, in the same form. */
static struct fm_buf known_values;

static const char env_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

struct secrets {
    char *text; /* the file, cut into strings */
    struct entry {
        const char *name, *value;
    } * entries;
    size_t n;
};

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
                          "line %zu of %s is not NAME=value with a name of " FM_NAME_RULE, number, file);
    *eq = '\0';
    s->entries = fm_xrealloc(s->entries, (s->n + 1) * sizeof(*s->entries));
    s->entries[s->n++] = (struct entry){line, eq + 1};
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
    s->text = fm_xcalloc(n + 1, 1);
    while (got < n) {
        ssize_t r = read(fd, s->text + got, n - got);
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
    for (char *line = s->text; line != NULL && rc == 0; line = save) {
        char *newline = strchr(line, '\n');
        save = newline == NULL ? NULL : newline + 1;
        if (newline != NULL)
            *newline = '\0';
        rc = add_line(s, line, ++number, file, err);
    }
    return rc;
}

struct secrets *secrets_read(const char *file, struct fm_err *err)
{
    struct secrets *s = fm_xcalloc(1, sizeof(*s));
    if (file != NULL && read_file(s, file, err) < 0) {
        secrets_free(s);
        return NULL;
    }
    fm_buf_reset(&known_values);
    for (size_t i = 0; i < s->n; i++)
        fm_buf_append(&known_values, s->entries[i].value, strlen(s->entries[i].value) + 1);
    for (size_t i = 0; environ[i] != NULL; i++) { /* "NAME=<origin> <value>" */
        const char *space = strncmp(environ[i], BOUND, strlen(BOUND)) == 0 ? strchr(environ[i], ' ') : NULL;
        if (space != NULL)
            fm_buf_append(&known_values, space + 1, strlen(space + 1) + 1);
    }
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
    free(s->text);
    free(s->entries);
    free(s);
}

/* Of an environment variable FERMATA_SECRET_… = "<origin> <value>", which a handler has found to be
 * for its request's origin: the value. */
static const char *find_bound(const char *name, size_t n)
{
    char variable[FM_MAX_NAME_BYTES + 1];
    if (n > FM_MAX_NAME_BYTES || strncmp(name, BOUND, strlen(BOUND)) != 0)
        return NULL;
    snprintf(variable, sizeof(variable), "%.*s", (int)n, name);
    const char *text = getenv(variable), *space = text == NULL ? NULL : strchr(text, ' ');
    return space == NULL ? NULL : space + 1;
}

static const char *find(const struct secrets *s, const char *name)
{
    for (size_t i = 0; s != NULL && i < s->n; i++)
        if (strcmp(s->entries[i].name, name) == 0)
            return s->entries[i].value;
    return name[0] != '\0' && strspn(name, env_chars) == strlen(name) ? getenv(name) : NULL;
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

#define OPEN SECRETS_OPEN

int secrets_expand(const struct secrets *s, const char *text, struct fm_buf *out, struct fm_buf *used,
                   struct fm_err *err)
{
    for (;;) {
        const char *at = strstr(text, OPEN), *end = at == NULL ? NULL : strchr(at, '}');
        if (end == NULL)
            break;
        char name[FM_MAX_NAME_BYTES + 1];
        size_t n = (size_t)(end - at) - strlen(OPEN);
        snprintf(name, sizeof(name), "%.*s", (int)(n < FM_MAX_NAME_BYTES ? n : FM_MAX_NAME_BYTES),
                 at + strlen(OPEN));
        size_t length = strlen(name), mark = sizeof(SECRETS_BOUND) - 1;
        bool is_bound = length > mark && strcmp(name + length - mark, SECRETS_BOUND) == 0;
        const char *value = is_bound ? find_bound(name, length - mark) : find(s, name);
        if (value == NULL)
            return fm_err_set(err, FM_FAILED_PRECONDITION, "secrets",
                              "secret %s is neither in this host's secrets file nor in its environment",
                              name);
        fm_buf_append(out, text, (size_t)(at - text));
        fm_buf_append(out, value, strlen(value));
        fm_buf_append(used, value, strlen(value) + 1);
        remember(name, value);
        text = end + 1;
    }
    fm_buf_append(out, text, strlen(text));
    return 0;
}

static bool redact(const struct fm_buf *used, char *text, size_t n, size_t least)
{
    const char *value;
    bool found = false;
    for (size_t i = 0; (value = next_value(used, &i)) != NULL;) {
        size_t length = strlen(value);
        if (length < least || length > n)
            continue;
        char *at = text;
        while ((at = memmem(at, n - (size_t)(at - text), value, length)) != NULL) {
            memset(at, '*', length);
            at += length;
            found = true;
        }
    }
    return found;
}

bool secrets_redact(const struct fm_buf *used, char *text, size_t n)
{
    return redact(used, text, n, MIN_REDACTED);
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

bool secrets_hide(const char *name, char *text, size_t n, size_t *ret_tail)
{
    struct fm_buf values = {0};
    sent_by(name, &values);
    bool found = secrets_redact(&values, text, n);
    if (ret_tail != NULL)
        *ret_tail = secrets_tail(&values, text, n);
    forget(&values);
    return found;
}

void secrets_hide_known(char *text, size_t n)
{
    struct fm_buf values = {0};
    sent_by(NULL, &values);
    (void)redact(&known_values, text, n, MIN_LOGGED);
    (void)redact(&values, text, n, MIN_LOGGED);
    forget(&values);
}

bool secrets_known(const char *text)
{
    size_t n = strlen(text);
    fm_autofree char *copy = strdup(text);
    struct fm_buf values = {0};
    sent_by(NULL, &values);
    bool known =
        copy == NULL || redact(&known_values, copy, n, MIN_LOGGED) || redact(&values, copy, n, MIN_LOGGED);
    forget(&values);
    return known;
}
