/* Configuration. See conf.h. */
#include "conf.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

#define UNIX_PATH_BYTES 108 /* of struct sockaddr_un, with the NUL */

#define MAX_FILE 65536 /* bytes of a configuration file */

/* Where a value came from, for the error. */
struct source {
    const char *file;
    unsigned line;
};

static int refuse(const struct source *src, const struct conf_option *o, const char *value,
                  struct fm_err *err, const char *allowed)
{
    if (src->file != NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, o->name, "%s:%u: %s = %.100s: %s", src->file, src->line,
                          o->name, value, allowed);
    return fm_err_set(err, FM_INVALID_ARGUMENT, o->name, "--%s %.100s: %s", o->name, value, allowed);
}

/* ---- values ---- */

static int set_int(const struct conf_option *o, const char *value, const struct source *src,
                   struct fm_err *err)
{
    char *end, allowed[96];
    bool digits =
        isdigit((unsigned char)value[value[0] == '-']) != 0; /* strtoll would skip spaces and accept a plus */
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (!digits || *end != '\0' || errno != 0 || v < o->min || v > o->max) {
        snprintf(allowed, sizeof(allowed), "expected a whole number from %lld to %lld", (long long)o->min,
                 (long long)o->max);
        return refuse(src, o, value, err, allowed);
    }
    *(int64_t *)o->target = v;
    return 0;
}

static const struct {
    const char *name;
    int64_t ms;
} units[] = {
    {"h",  3600000},
    {"m",  60000  },
    {"s",  1000   },
    {"ms", 1      }
};
#define N_UNITS (sizeof(units) / sizeof(units[0]))

static int64_t unit_ms(const char *unit)
{
    for (size_t i = 0; i < N_UNITS; i++)
        if (strcmp(unit, units[i].name) == 0)
            return units[i].ms;
    return 0;
}

/* In the largest unit that leaves no remainder: "90s", "2m". */
static const char *duration_text(int64_t ms, char *out, size_t n)
{
    size_t i = 0;
    while (ms % units[i].ms != 0 || (ms == 0 && units[i].ms > 1000))
        i++;
    snprintf(out, n, "%lld%s", (long long)(ms / units[i].ms), units[i].name);
    return out;
}

static int set_duration(const struct conf_option *o, const char *value, const struct source *src,
                        struct fm_err *err)
{
    /* strtod alone would also accept hexadecimal numbers and exponents */
    size_t n_whole = strspn(value, "0123456789"), n = n_whole;
    if (value[n] == '.')
        n += 1 + strspn(value + n + 1, "0123456789");
    int64_t unit = unit_ms(value + n);
    double ms = n_whole == 0 ? -1 : strtod(value, NULL) * (double)unit;
    if (unit == 0 || !(ms >= (double)o->min && ms <= (double)o->max)) {
        char allowed[128], min[32], max[32];
        snprintf(allowed, sizeof(allowed),
                 "expected a duration from %s to %s, for example 500ms, 10s, 2m or 1h",
                 duration_text(o->min, min, sizeof(min)), duration_text(o->max, max, sizeof(max)));
        return refuse(src, o, value, err, allowed);
    }
    *(int64_t *)o->target = (int64_t)(ms + 0.5);
    return 0;
}

static int set_bool(const struct conf_option *o, const char *value, const struct source *src,
                    struct fm_err *err)
{
    bool yes = strcmp(value, "true") == 0;
    if (!yes && strcmp(value, "false") != 0)
        return refuse(src, o, value, err, "expected true or false");
    *(bool *)o->target = yes;
    return 0;
}

static int set_choice(const struct conf_option *o, const char *value, const struct source *src,
                      struct fm_err *err)
{
    char allowed[256] = "expected one of:";
    for (int i = 0; o->choices[i] != NULL; i++) {
        if (strcmp(o->choices[i], value) == 0) {
            *(int *)o->target = i;
            return 0;
        }
        size_t at = strlen(allowed);
        snprintf(allowed + at, sizeof(allowed) - at, " %s", o->choices[i]);
    }
    return refuse(src, o, value, err, allowed);
}

static int set_string(const struct conf_option *o, const char *value, const struct source *src,
                      struct fm_err *err)
{
    char allowed[64];
    size_t max = o->max > 0 ? (size_t)o->max : 4096;
    if (value[0] == '\0' || strlen(value) > max) {
        snprintf(allowed, sizeof(allowed), "expected 1 to %zu bytes", max);
        return refuse(src, o, value, err, allowed);
    }
    free((void *)(uintptr_t) * (const char **)o->target); /* the default, a heap copy by now */
    *(const char **)o->target = fm_xstrdup(value);
    return 0;
}

static int add_label(const struct conf_option *o, const char *value, const struct source *src,
                     struct fm_err *err)
{
    struct conf_labels *l = o->target;
    const char *eq = strchr(value, '=');
    if (eq == NULL || eq == value || strlen(value) > 256)
        return refuse(src, o, value, err, "expected key=value of at most 256 bytes");
    size_t n_key = (size_t)(eq - value);
    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->items[i].key) == n_key && memcmp(l->items[i].key, value, n_key) == 0)
            return refuse(src, o, value, err, "this label was already given");
    l->items = fm_xrealloc(l->items, (l->n + 1) * sizeof(*l->items));
    char *key = fm_xmemdup(value, n_key + 1);
    key[n_key] = '\0';
    l->items[l->n++] = (struct conf_label){key, fm_xstrdup(eq + 1)};
    return 0;
}

static int set_value(const struct conf_option *o, const char *value, const struct source *src,
                     struct fm_err *err)
{
    switch (o->kind) {
    case CONF_STRING:
        return set_string(o, value, src, err);
    case CONF_INT:
        return set_int(o, value, src, err);
    case CONF_DURATION:
        return set_duration(o, value, src, err);
    case CONF_BOOL:
        return set_bool(o, value, src, err);
    case CONF_CHOICE:
        return set_choice(o, value, src, err);
    case CONF_LABEL:
        return add_label(o, value, src, err);
    }
    return 0;
}

/* ---- reading ---- */

struct reading {
    const struct conf_option *options;
    size_t n;
    bool *from_flag, *from_file;
};

static const struct conf_option *find(const struct reading *r, const char *name, size_t n_name)
{
    for (size_t i = 0; i < r->n; i++)
        if (strlen(r->options[i].name) == n_name && memcmp(r->options[i].name, name, n_name) == 0)
            return &r->options[i];
    return NULL;
}

static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n > 0 && isspace((unsigned char)s[n - 1]))
        s[--n] = '\0';
    return s;
}

static void free_value(enum conf_kind kind, void *target)
{
    if (kind == CONF_STRING) {
        free((void *)(uintptr_t) * (const char **)target);
        *(const char **)target = NULL;
    } else if (kind == CONF_LABEL) {
        struct conf_labels *l = target;
        for (size_t k = 0; k < l->n; k++) {
            free(l->items[k].key);
            free(l->items[k].value);
        }
        free(l->items);
        *l = (struct conf_labels){0};
    }
}

/* Checks a value that a flag overrides: an error in the file is an error even then. */
static int check_value(const struct conf_option *o, const char *value, const struct source *src,
                       struct fm_err *err)
{
    union {
        const char *string;
        int64_t number;
        bool yes;
        int choice;
        struct conf_labels labels;
    } scratch;
    memset(&scratch, 0, sizeof(scratch));
    struct conf_option copy = *o;
    copy.target = &scratch;
    int rc = set_value(&copy, value, src, err);
    free_value(o->kind, &scratch);
    return rc;
}

static int read_line(const struct reading *r, char *line, const struct source *src, struct fm_err *err)
{
    char *s = trim(line);
    if (s[0] == '\0' || s[0] == '#')
        return 0;
    char *eq = strchr(s, '=');
    if (eq == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "config", "%s:%u: expected \"name = value\"", src->file,
                          src->line);
    *eq = '\0';
    char *name = trim(s), *value = trim(eq + 1);
    const struct conf_option *o = find(r, name, strlen(name));
    if (o == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "config",
                          "%s:%u: there is no option \"%.64s\"; --help lists them", src->file, src->line,
                          name);
    size_t i = (size_t)(o - r->options);
    if (r->from_file[i] && o->kind != CONF_LABEL)
        return refuse(src, o, value, err, "the option was given twice");
    r->from_file[i] = true;
    return r->from_flag[i] ? check_value(o, value, src, err) : set_value(o, value, src, err);
}

/* Reads the whole file into a NUL-terminated heap string. */
static int load(const char *path, char **ret_text, struct fm_err *err)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return fm_err_set(err, errno == ENOENT ? FM_NOT_FOUND : FM_INVALID_ARGUMENT, "config",
                          "--config %s: %s", path, strerror(errno));
    fm_autofree char *text = fm_xmalloc(MAX_FILE + 1);
    size_t n = fread(text, 1, MAX_FILE + 1, f);
    int failed = ferror(f) ? errno : 0;
    fclose(f);
    if (failed != 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "config", "--config %s: %s", path, strerror(failed));
    if (n > MAX_FILE)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "config", "--config %s: the file has more than %d bytes",
                          path, MAX_FILE);
    if (memchr(text, '\0', n) != NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "config",
                          "--config %s: the file is not text: it contains a NUL byte", path);
    text[n] = '\0';
    *ret_text = text;
    text = NULL;
    return 0;
}

static int read_file(const struct reading *r, const char *path, struct fm_err *err)
{
    fm_autofree char *text = NULL;
    struct source src = {path, 0};
    int rc = load(path, &text, err);
    for (char *line = text, *next; rc == 0 && line != NULL; line = next) {
        src.line++;
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        rc = read_line(r, line, &src, err);
    }
    return rc;
}

/* One flag at argv[*i]; moves *i over its value. */
static int read_flag(const struct reading *r, int argc, char **argv, int *i, const char **config,
                     struct fm_err *err)
{
    const char *arg = argv[*i];
    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0')
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "\"%.100s\" is not an option; --help lists them",
                          arg);
    const char *name = arg + 2, *eq = strchr(name, '=');
    size_t n_name = eq == NULL ? strlen(name) : (size_t)(eq - name);
    const struct conf_option *o = find(r, name, n_name);
    bool is_config = n_name == 6 && memcmp(name, "config", 6) == 0;
    if (o == NULL && !is_config)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "there is no option --%.*s; --help lists them",
                          n_name > 64 ? 64 : (int)n_name, name);
    const char *value = eq == NULL ? NULL : eq + 1;
    if (value == NULL && o != NULL && o->kind == CONF_BOOL)
        value = "true";
    if (value == NULL && *i + 1 < argc)
        value = argv[++*i];
    if (value == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "--%.*s needs a value", (int)n_name, name);
    if (is_config) {
        if (*config != NULL)
            return fm_err_set(err, FM_INVALID_ARGUMENT, "config",
                              "--config %.100s: the option was given twice", value);
        *config = value;
        return 0;
    }
    struct source flag = {NULL, 0};
    size_t at = (size_t)(o - r->options);
    if (r->from_flag[at] && o->kind != CONF_LABEL)
        return refuse(&flag, o, value, err, "the option was given twice");
    r->from_flag[at] = true;
    return set_value(o, value, &flag, err);
}

int conf_read(const struct conf_option *options, size_t n, int argc, char **argv,
              enum conf_action *ret_action, struct fm_err *err)
{
    fm_autofree bool *from_flag = fm_xcalloc(n, sizeof(bool)), *from_file = fm_xcalloc(n, sizeof(bool));
    struct reading r = {options, n, from_flag, from_file};
    const char *config = NULL;
    for (size_t i = 0; i < n;
         i++) /* defaults become heap copies, so that all strings are freed the same way */
        if (options[i].kind == CONF_STRING && *(const char **)options[i].target != NULL)
            *(const char **)options[i].target = fm_xstrdup(*(const char **)options[i].target);
    *ret_action = CONF_RUN;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *ret_action = CONF_HELP;
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            *ret_action = CONF_VERSION;
            return 0;
        }
        int rc = read_flag(&r, argc, argv, &i, &config, err);
        if (rc < 0)
            return rc;
    }
    return config == NULL ? 0 : read_file(&r, config, err);
}

void conf_done(const struct conf_option *options, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free_value(options[i].kind, options[i].target);
}

/* ---- help ---- */

static void print_default(FILE *f, const struct conf_option *o)
{
    char min[32], max[32], now[32];
    switch (o->kind) {
    case CONF_STRING:
        if (*(const char **)o->target != NULL)
            fprintf(f, " (default %s)", *(const char **)o->target);
        return;
    case CONF_INT:
        fprintf(f, " (%lld to %lld, default %lld)", (long long)o->min, (long long)o->max,
                (long long)*(int64_t *)o->target);
        return;
    case CONF_DURATION:
        fprintf(f, " (%s to %s, default %s)", duration_text(o->min, min, sizeof(min)),
                duration_text(o->max, max, sizeof(max)),
                duration_text(*(int64_t *)o->target, now, sizeof(now)));
        return;
    case CONF_BOOL:
        fprintf(f, " (default %s)", *(bool *)o->target ? "true" : "false");
        return;
    case CONF_CHOICE:
        fprintf(f, " (");
        for (int i = 0; o->choices[i] != NULL; i++)
            fprintf(f, "%s%s", i > 0 ? ", " : "", o->choices[i]);
        fprintf(f, "; default %s)", o->choices[*(int *)o->target]);
        return;
    case CONF_LABEL:
        fprintf(f, " (may be repeated)");
        return;
    }
}

void conf_help(FILE *f, const char *program, const char *what, const struct conf_option *options, size_t n)
{
    fprintf(f, "%s: %s\n\nUsage: %s [options]\n\n", program, what, program);
    for (size_t i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s %s", options[i].name,
                 options[i].arg == NULL ? "" : options[i].arg);
        fprintf(f, "  %-28s %s", left, options[i].help);
        print_default(f, &options[i]);
        fputc('\n', f);
    }
    fprintf(f, "  %-28s %s\n  %-28s %s\n  %-28s %s\n", "--config FILE",
            "read options from FILE: lines \"name = value\"; flags win", "--help", "print this and exit",
            "--version", "print the version and exit");
}

int conf_check_address(const char *field, const char *text, struct fm_err *err)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    if (strncmp(text, "unix:/", 6) == 0 && text[6] != '\0' && strlen(text + 5) < UNIX_PATH_BYTES)
        return 0;
    long port = colon == NULL || !isdigit((unsigned char)colon[1]) ? -1 : strtol(colon + 1, &end, 10);
    size_t n_host = colon == NULL ? 0 : (size_t)(colon - text);
    bool bracketed = n_host > 2 && text[0] == '[' && colon[-1] == ']';
    bool plain = n_host > 0 && memchr(text, ':', n_host) == NULL && text[0] != '[';
    if (port < 0 || port > 65535 || *end != '\0' || (!plain && !bracketed))
        return fm_err_set(
            err, FM_INVALID_ARGUMENT, field,
            "--%s %.100s: expected HOST:PORT, with a port from 0 to 65535 and an IPv6 address in [], or "
            "unix:/PATH of less than %d bytes",
            field, text, UNIX_PATH_BYTES);
    return 0;
}
