/* See request.h. */
#include "request.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "client.h"
#include "mem.h"

#define ID_LENGTH 26 /* of a ULID */
#define MAX_LOOKED_AT 10000
#define MAX_INPUT (64u * 1024 * 1024)

/* ---- paths ---- */

void cli_set(json_t *object, const char *path, json_t *value)
{
    char name[64];
    const char *dot;
    while ((dot = strchr(path, '.')) != NULL) {
        snprintf(name, sizeof(name), "%.*s", (int)(dot - path), path);
        json_t *inner = json_object_get(object, name);
        if (inner == NULL) {
            inner = json_object();
            json_object_set_new(object, name, inner);
        }
        object = inner;
        path = dot + 1;
    }
    json_object_set_new(object, path, value);
}

json_t *cli_get(json_t *j, const char *path)
{
    while (j != NULL && *path != '\0') {
        char name[64];
        size_t n = strcspn(path, ".[");
        if (n > 0) {
            snprintf(name, sizeof(name), "%.*s", (int)n, path);
            j = json_object_get(j, name);
        }
        path += n;
        if (*path == '[') {
            j = json_array_get(j, strtoul(path + 1, NULL, 10));
            path += strcspn(path, "]") + 1;
        }
        path += *path == '.';
    }
    return j;
}

const char *cli_get_text(json_t *object, const char *path, const char *fallback)
{
    const char *text = json_string_value(cli_get(object, path));
    return text == NULL ? fallback : text;
}

/* ---- files and JSON ---- */

char *cli_read_file(const char *path, size_t *n, struct fm_err *err)
{
    fm_auto(fm_buf) all = {0};
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "re");
    char chunk[65536];
    size_t got;
    if (f == NULL) {
        (void)fm_err_set(err, FM_NOT_FOUND, NULL, "%s cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    while ((got = fread(chunk, 1, sizeof(chunk), f)) > 0 && all.n <= MAX_INPUT)
        fm_buf_append(&all, chunk, got);
    bool bad = ferror(f) != 0;
    if (!standard)
        (void)fclose(f);
    if (bad || all.n > MAX_INPUT) {
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "%s %s", standard ? "standard input" : path,
                         bad ? "cannot be read" : "is larger than 64 MiB");
        return NULL;
    }
    *n = all.n;
    fm_buf_append(&all, "", 1);
    struct fm_buf taken = fm_buf_take(&all);
    return (char *)taken.p;
}

static json_t *parse(const char *name, const char *text, size_t n, const char *hint, struct fm_err *err)
{
    json_error_t fault;
    json_t *j = json_loadb(text, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &fault);
    if (j == NULL)
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, name, "not JSON: %s (line %d, column %d)%s", fault.text,
                         fault.line, fault.column, hint);
    return j;
}

json_t *cli_read_json_file(const char *name, const char *path, struct fm_err *err)
{
    size_t n;
    fm_autofree char *text = cli_read_file(path, &n, err);
    return text == NULL ? NULL : parse(name, text, n, "", err);
}

json_t *cli_read_json(const char *name, const char *word, struct fm_err *err)
{
    if (word[0] == '@' || strcmp(word, "-") == 0)
        return cli_read_json_file(name, word[0] == '@' ? word + 1 : word, err);
    return parse(name, word, strlen(word), "; @FILE reads a file, - standard input", err);
}

/* ---- enums ---- */

/* The part of a value's name that all of its enum's have: "JOB_STATUS_". */
static size_t prefix_of(const struct pb_enum *e)
{
    size_t n = 0;
    for (;; n++)
        for (size_t i = 0; i < e->n_values; i++)
            if (e->values[i].name[n] == '\0' || e->values[i].name[n] != e->values[0].name[n]) {
                while (n > 0 && e->values[0].name[n - 1] != '_')
                    n--;
                return n;
            }
}

static bool means(const char *value, const char *word)
{
    size_t i = 0;
    for (; word[i] != '\0'; i++) {
        char c = word[i] == '-' ? '_' : (char)toupper((unsigned char)word[i]);
        if (value[i] != c)
            return false;
    }
    return value[i] == '\0';
}

char *cli_choices(const struct cli *c, const char *enumeration)
{
    const struct pb_enum *e = pb_pool_enum(cli_client_pool(c->client), enumeration);
    size_t prefix = prefix_of(e);
    fm_auto(fm_buf) text = {0};
    for (size_t i = 0; i < e->n_values; i++) {
        if (e->values[i].number == 0)
            continue;
        if (text.n > 0)
            fm_buf_append(&text, ", ", 2);
        for (const char *p = e->values[i].name + prefix; *p != '\0'; p++) {
            char small = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
            fm_buf_append(&text, &small, 1);
        }
    }
    fm_buf_append(&text, "", 1);
    struct fm_buf taken = fm_buf_take(&text);
    return (char *)taken.p;
}

const char *cli_choice(const struct cli *c, const char *name, const char *enumeration, const char *word,
                       struct fm_err *err)
{
    const struct pb_enum *e = pb_pool_enum(cli_client_pool(c->client), enumeration);
    size_t prefix = prefix_of(e);
    for (size_t i = 0; i < e->n_values; i++)
        if (e->values[i].number != 0 &&
            (means(e->values[i].name + prefix, word) || means(e->values[i].name, word)))
            return e->values[i].name;
    fm_autofree char *all = cli_choices(c, enumeration);
    (void)fm_err_set(err, FM_INVALID_ARGUMENT, name, "'%.100s' is none of: %s", word, all);
    return NULL;
}

/* ---- ids ---- */

static bool same_letters(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (toupper((unsigned char)a[i]) != toupper((unsigned char)b[i]))
            return false;
    return true;
}

/* Looks for ids that begin or end like this on one page; counts them. */
static size_t match_page(json_t *page, const char *word, char *found)
{
    size_t n = strlen(word), hits = 0, i;
    json_t *job;
    json_array_foreach(json_object_get(page, "jobs"), i, job)
    {
        const char *id = cli_get_text(job, "jobId", "");
        size_t length = strlen(id);
        if (n > length || (!same_letters(id, word, n) && !same_letters(id + length - n, word, n)))
            continue;
        if (hits++ == 0 && found[0] == '\0')
            snprintf(found, ID_LENGTH + 1, "%s", id);
    }
    return hits;
}

char *cli_job_id(struct cli *c, const char *word, struct fm_err *err)
{
    char found[ID_LENGTH + 1] = "", token[256] = "";
    size_t hits = 0, looked_at = 0;
    if (strlen(word) >= ID_LENGTH)
        return fm_xstrdup(word);
    if (word[0] == '\0' ||
        strspn(word, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != strlen(word)) {
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                         "'%.100s' is no job's id, nor the beginning or the end of one", word);
        return NULL;
    }
    do {
        json_t *request = json_pack("{s:i, s:s}", "pageSize", 500, "pageToken", token), *page = NULL;
        int rc = cli_call(c->client, "Jobs/ListJobs", request, c->timeout_ms, &page, err);
        json_decref(request);
        if (rc < 0)
            return NULL;
        hits += match_page(page, word, found);
        looked_at += json_array_size(json_object_get(page, "jobs"));
        snprintf(token, sizeof(token), "%s", cli_get_text(page, "nextPageToken", ""));
        json_decref(page);
    } while (token[0] != '\0' && hits < 2 && looked_at < MAX_LOOKED_AT);
    if (hits == 1)
        return fm_xstrdup(found);
    if (hits == 0)
        (void)fm_err_set(err, FM_NOT_FOUND, NULL, "no job's id begins or ends with '%s'%s", word,
                         token[0] != '\0' ? " among the newest 10,000; give the whole id" : "");
    else
        (void)fm_err_set(err, FM_INVALID_ARGUMENT, NULL,
                         "the ids of several jobs begin or end with '%s': give more of it", word);
    return NULL;
}

/* ---- words into fields ---- */

static int bad_word(struct fm_err *err, const struct cli_word *w, const char *word, const char *wanted)
{
    return fm_err_set(err, FM_INVALID_ARGUMENT, w->name, "'%.100s' is not %s", word, wanted);
}

/* "90s" → 90000 */
static int read_span(const struct cli_word *w, const char *word, json_t **ret, struct fm_err *err)
{
    static const struct {
        const char *unit;
        long long ms;
    } units[] = {
        {"ms", 1       },
        {"",   1       },
        {"s",  1000    },
        {"m",  60000   },
        {"h",  3600000 },
        {"d",  86400000},
    };
    char *end;
    errno = 0;
    long long n = strtoll(word, &end, 10);
    for (size_t i = 0; i < CLI_COUNT(units); i++)
        if (end != word && n >= 0 && errno == 0 && strcmp(end, units[i].unit) == 0 && n < 1000000000000) {
            *ret = json_integer(n * units[i].ms);
            return 0;
        }
    return bad_word(err, w, word, "a time span such as 500ms, 90s, 10m, 2h or 7d");
}

static int read_pair(const struct cli_word *w, const char *word, json_t *into, struct fm_err *err)
{
    const char *equals = strchr(word, '=');
    if (equals == NULL || equals == word)
        return bad_word(err, w, word, "KEY=VALUE");
    fm_autofree char *key = strndup(word, (size_t)(equals - word));
    if (json_object_get(into, key) != NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, w->name, "the key '%s' is given twice", key);
    if (json_object_set_new(into, key, json_string(equals + 1)) < 0)
        return bad_word(err, w, word, "UTF-8");
    return 0;
}

static int read_slot(const struct cli_word *w, const char *word, json_t **ret, struct fm_err *err)
{
    const char *dot = strrchr(word, '.');
    if (dot == NULL || dot == word || dot[1] == '\0')
        return bad_word(err, w, word, "ROUTINE.SLOT");
    *ret = json_pack("{s:s%, s:s}", "routine", word, (size_t)(dot - word), "slot", dot + 1);
    return *ret == NULL ? bad_word(err, w, word, "UTF-8") : 0;
}

static int read_choices(struct cli *c, const struct cli_word *w, const char *word, json_t *into,
                        struct fm_err *err)
{
    for (const char *p = word; *p != '\0';) {
        size_t n = strcspn(p, ",");
        fm_autofree char *one = strndup(p, n);
        const char *value = cli_choice(c, w->name, w->choices, one, err);
        if (value == NULL)
            return -FM_INVALID_ARGUMENT;
        json_array_append_new(into, json_string(value));
        p += n + (p[n] == ',');
    }
    return 0;
}

/* A word that stands alone. */
static int read_one(struct cli *c, const struct cli_word *w, const char *word, json_t **ret,
                    struct fm_err *err)
{
    char *end;
    const char *choice;
    switch (w->kind) {
    case CLI_NUMBER:
        errno = 0;
        *ret = json_integer(strtoll(word, &end, 10));
        if (word[0] == '\0' || *end != '\0' || errno != 0)
            return bad_word(err, w, word, "a whole number");
        return 0;
    case CLI_FLAG:
        *ret = json_true();
        return 0;
    case CLI_CHOICE:
        choice = cli_choice(c, w->name, w->choices, word, err);
        *ret = choice == NULL ? NULL : json_string(choice);
        return choice == NULL ? -FM_INVALID_ARGUMENT : 0;
    case CLI_JSON:
        *ret = cli_read_json(w->name, word, err);
        return *ret == NULL ? -(int)err->code : 0;
    case CLI_SLOT:
        return read_slot(w, word, ret, err);
    case CLI_SPAN:
        return read_span(w, word, ret, err);
    case CLI_JOB: {
        fm_autofree char *id = cli_job_id(c, word, err);
        *ret = id == NULL ? NULL : json_string(id);
        return id == NULL ? -(int)err->code : 0;
    }
    default:
        *ret = json_string(word);
        return *ret == NULL ? bad_word(err, w, word, "UTF-8") : 0;
    }
}

/* A word that may be repeated. */
static int read_many(struct cli *c, const struct cli_word *w, json_t *given, json_t **ret, struct fm_err *err)
{
    json_t *item;
    size_t i;
    int rc = 0;
    *ret = w->kind == CLI_PAIR ? json_object() : json_array();
    json_array_foreach(given, i, item)
    {
        const char *word = json_string_value(item);
        if (w->kind == CLI_PAIR)
            rc = read_pair(w, word, *ret, err);
        else if (w->kind == CLI_CHOICES)
            rc = read_choices(c, w, word, *ret, err);
        else
            json_array_append_new(*ret, json_string(word));
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int fill_from(struct cli *c, const struct cli_word *words, size_t n, json_t *request,
                     struct fm_err *err)
{
    for (size_t i = 0; i < n; i++) {
        json_t *given = json_object_get(c->words, words[i].name), *value = NULL;
        if (given == NULL || words[i].path == NULL)
            continue;
        int rc = json_is_array(given) ? read_many(c, &words[i], given, &value, err)
                                      : read_one(c, &words[i], json_string_value(given), &value, err);
        if (rc < 0) {
            json_decref(value);
            return rc;
        }
        cli_set(request, words[i].path, value);
    }
    return 0;
}

int cli_fill(struct cli *c, json_t *request, struct fm_err *err)
{
    const struct cli_command *command = c->command;
    int rc = fill_from(c, command->args, command->n_args, request, err);
    if (rc == 0)
        rc = fill_from(c, command->options, command->n_options, request, err);
    if (rc == 0 && command->by_path != NULL && c->by != NULL)
        cli_set(request, command->by_path, json_string(c->by));
    return rc;
}
