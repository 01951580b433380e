/* Configuration. See conf.h. */
#include "conf.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

/* Where a value came from, for the error. */
struct source {
    const char *file;
    unsigned line;
};

static int refuse(const struct source *src, const struct conf_option *o, const char *value, struct fm_err *err, const char *allowed)
{
    if (src->file != NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, o->name, "%s:%u: %s = %.100s: %s", src->file, src->line, o->name, value, allowed);
    return fm_err_set(err, FM_INVALID_ARGUMENT, o->name, "--%s %.100s: %s", o->name, value, allowed);
}

/* ---- values ---- */

static int set_int(const struct conf_option *o, const char *value, const struct source *src, struct fm_err *err)
{
    char *end, allowed[96];
    errno = 0;
    long long v = strtoll(value, &end, 10);
    if (value[0] == '\0' || *end != '\0' || errno != 0 || v < o->min || v > o->max) {
        snprintf(allowed, sizeof(allowed), "a whole number from %lld to %lld is wanted", (long long)o->min, (long long)o->max);
        return refuse(src, o, value, err, allowed);
    }
    *(int64_t *)o->target = v;
    return 0;
}

static int64_t unit_ms(const char *unit)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    for (size_t i = 0; i < 4; i++)
        if (strcmp(unit, units[i].name) == 0)
            return units[i].ms;
    return 0;
}

static int set_duration(const struct conf_option *o, const char *value, const struct source *src, struct fm_err *err)
{
    char *end, allowed[128];
    errno = 0;
    double v = strtod(value, &end);
    int64_t unit = unit_ms(end);
    double ms = v * (double)unit;
    if (!isdigit((unsigned char)value[0]) || errno != 0 || unit == 0 || !(ms >= (double)o->min && ms <= (double)o->max)) {
        snprintf(allowed, sizeof(allowed), "a duration from %lldms to %lldms is wanted, for example 500ms, 10s, 2m", (long long)o->min,
                 (long long)o->max);
        return refuse(src, o, value, err, allowed);
    }
    *(int64_t *)o->target = (int64_t)(ms + 0.5);
    return 0;
}

static int set_bool(const struct conf_option *o, const char *value, const struct source *src, struct fm_err *err)
{
    bool yes = strcmp(value, "true") == 0;
    if (!yes && strcmp(value, "false") != 0)
        return refuse(src, o, value, err, "true or false is wanted");
    *(bool *)o->target = yes;
    return 0;
}

static int set_choice(const struct conf_option *o, const char *value, const struct source *src, struct fm_err *err)
{
    char allowed[256] = "one of these is wanted:";
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

static int set_string(const struct conf_option *o, const char *value, const struct source *src, struct fm_err *err)
{
    char allowed[64];
    size_t max = o->max > 0 ? (size_t)o->max : 4096;
    if (value[0] == '\0' || strlen(value) > max) {
        snprintf(allowed, sizeof(allowed), "1 to %zu bytes are wanted", max);
        return refuse(src, o, value, err, allowed);
    }
    free((void *)(uintptr_t)*(const char **)o->target);     /* the default, a heap copy by now */
    *(const char **)o->target = fm_xstrdup(value);
    return 0;
}

static int add_label(const struct conf_option *o, const char *value, const struct source *src, struct fm_err *err)
{
    struct conf_labels *l = o->target;
    const char *eq = strchr(value, '=');
    if (eq == NULL || eq == value || strlen(value) > 256)
        return refuse(src, o, value, err, "key=value of up to 256 bytes is wanted");
    size_t n_key = (size_t)(eq - value);
    for (size_t i = 0; i < l->n; i++)
        if (strlen(l->items[i].key) == n_key && memcmp(l->items[i].key, value, n_key) == 0)
            return refuse(src, o, value, err, "this label is given already");
    l->items = fm_xrealloc(l->items, (l->n + 1) * sizeof(*l->items));
    char *key = fm_xmemdup(value, n_key + 1);
    key[n_key] = '\0';
    l->items[l->n++] = (struct conf_label){key, fm_xstrdup(eq + 1)};
    return 0;
}

static int set_value(const struct conf_option *o, const char *value, const struct source *src, struct fm_err *err)
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

static int read_line(const struct reading *r, char *line, const struct source *src, struct fm_err *err)
{
    char *s = trim(line);
    if (s[0] == '\0' || s[0] == '#')
        return 0;
    char *eq = strchr(s, '=');
    if (eq == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "config", "%s:%u: \"name = value\" is wanted", src->file, src->line);
    *eq = '\0';
    char *name = trim(s), *value = trim(eq + 1);
    const struct conf_option *o = find(r, name, strlen(name));
    if (o == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "config", "%s:%u: there is no option %.64s", src->file, src->line, name);
    size_t i = (size_t)(o - r->options);
    if (r->from_file[i] && o->kind != CONF_LABEL)
        return refuse(src, o, value, err, "the option is given twice");
    r->from_file[i] = true;
    return r->from_flag[i] ? 0 : set_value(o, value, src, err);
}

static int read_file(const struct reading *r, const char *path, struct fm_err *err)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return fm_err_set(err, FM_NOT_FOUND, "config", "--config %s: %s", path, strerror(errno));
    char line[8192];
    struct source src = {path, 0};
    int rc = 0;
    while (rc == 0 && fgets(line, sizeof(line), f) != NULL) {
        src.line++;
        if (strlen(line) == sizeof(line) - 1)
            rc = fm_err_set(err, FM_INVALID_ARGUMENT, "config", "%s:%u: the line is too long", path, src.line);
        else
            rc = read_line(r, line, &src, err);
    }
    if (rc == 0 && ferror(f))
        rc = fm_err_set(err, FM_UNAVAILABLE, "config", "--config %s: it could not be read", path);
    fclose(f);
    return rc;
}

/* One flag at argv[*i]; moves *i over its value. */
static int read_flag(const struct reading *r, int argc, char **argv, int *i, const char **config, struct fm_err *err)
{
    const char *arg = argv[*i];
    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0')
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "\"%.100s\" is no option; --help lists them", arg);
    const char *name = arg + 2, *eq = strchr(name, '=');
    size_t n_name = eq == NULL ? strlen(name) : (size_t)(eq - name);
    const struct conf_option *o = find(r, name, n_name);
    bool is_config = n_name == 6 && memcmp(name, "config", 6) == 0;
    if (o == NULL && !is_config)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "there is no option --%.*s; --help lists them", (int)n_name, name);
    const char *value = eq == NULL ? NULL : eq + 1;
    if (value == NULL && o != NULL && o->kind == CONF_BOOL)
        value = "true";
    if (value == NULL && *i + 1 < argc)
        value = argv[++*i];
    if (value == NULL)
        return fm_err_set(err, FM_INVALID_ARGUMENT, NULL, "--%.*s needs a value", (int)n_name, name);
    if (is_config) {
        *config = value;
        return 0;
    }
    struct source flag = {NULL, 0};
    size_t at = (size_t)(o - r->options);
    if (r->from_flag[at] && o->kind != CONF_LABEL)
        return refuse(&flag, o, value, err, "the option is given twice");
    r->from_flag[at] = true;
    return set_value(o, value, &flag, err);
}

int conf_read(const struct conf_option *options, size_t n, int argc, char **argv, enum conf_action *ret_action, struct fm_err *err)
{
    fm_autofree bool *from_flag = fm_xcalloc(n, sizeof(bool)), *from_file = fm_xcalloc(n, sizeof(bool));
    struct reading r = {options, n, from_flag, from_file};
    const char *config = NULL;
    for (size_t i = 0; i < n; i++)      /* defaults become heap copies, so that all strings are freed the same way */
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
    for (size_t i = 0; i < n; i++) {
        if (options[i].kind == CONF_STRING) {
            free((void *)(uintptr_t)*(const char **)options[i].target);
            *(const char **)options[i].target = NULL;
        } else if (options[i].kind == CONF_LABEL) {
            struct conf_labels *l = options[i].target;
            for (size_t k = 0; k < l->n; k++) {
                free(l->items[k].key);
                free(l->items[k].value);
            }
            free(l->items);
            *l = (struct conf_labels){0};
        }
    }
}

/* ---- help ---- */

static void print_default(FILE *f, const struct conf_option *o)
{
    switch (o->kind) {
    case CONF_STRING:
        if (*(const char **)o->target != NULL)
            fprintf(f, " (default %s)", *(const char **)o->target);
        return;
    case CONF_INT:
        fprintf(f, " (%lld to %lld, default %lld)", (long long)o->min, (long long)o->max, (long long)*(int64_t *)o->target);
        return;
    case CONF_DURATION:
        fprintf(f, " (default %lldms)", (long long)*(int64_t *)o->target);
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
        snprintf(left, sizeof(left), "--%s %s", options[i].name, options[i].arg == NULL ? "" : options[i].arg);
        fprintf(f, "  %-28s %s", left, options[i].help);
        print_default(f, &options[i]);
        fputc('\n', f);
    }
    fprintf(f, "  %-28s %s\n  %-28s %s\n  %-28s %s\n", "--config FILE", "read options from FILE: lines \"name = value\"; flags win", "--help",
            "print this and exit", "--version", "print the version and exit");
}

int conf_check_address(const char *field, const char *text, struct fm_err *err)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;
    long port = colon == NULL || !isdigit((unsigned char)colon[1]) ? -1 : strtol(colon + 1, &end, 10);
    bool bare_v6 = colon != NULL && text[0] != '[' && memchr(text, ':', (size_t)(colon - text)) != NULL;
    if (port < 0 || port > 65535 || *end != '\0' || colon == text || bare_v6)
        return fm_err_set(err, FM_INVALID_ARGUMENT, field, "--%s %.100s: HOST:PORT is wanted, the port from 0 to 65535, an IPv6 address in []",
                          field, text);
    return 0;
}
