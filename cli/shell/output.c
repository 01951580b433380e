/* See output.h. */
#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jq.h>

#include "buf.h"
#include "mem.h"
#include "pb_json.h"
#include "pb_text.h"
#include "request.h"

#define MAX_CELL 60

bool cli_output_ok(const char *output)
{
    static const char *const all[] = {"table", "wide", "json", "jsonl", "yaml", "name"};
    for (size_t i = 0; i < CLI_COUNT(all); i++)
        if (strcmp(output, all[i]) == 0)
            return true;
    return false;
}

/* ---- JSON, YAML, jq ---- */

char *cli_json_text(json_t *j)
{
    char *text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
    return text == NULL ? fm_xstrdup("null") : text;
}

static void print_json(json_t *j, bool laid_out)
{
    fm_autofree char *text = cli_json_text(j);
    fm_auto(fm_buf) out = {0};
    if (laid_out)
        pb_json_indent(text, strlen(text), &out);
    else
        fm_buf_append(&out, text, strlen(text));
    fm_buf_append(&out, "\n", 1);
    (void)fwrite(out.p, 1, out.n, stdout);
}

/* JSON is YAML, but for the layout: strings stay quoted, so that no text is taken for something else. */
static void print_yaml(json_t *j, int level, bool in_list)
{
    const char *key;
    json_t *item;
    size_t i;
    bool first = true;
    if (json_is_object(j) && json_object_size(j) > 0) {
        json_object_foreach(j, key, item)
        {
            if (!first || !in_list)
                printf("%*s", level * 2, "");
            first = false;
            json_t *k = json_string(key);
            fm_autofree char *text = cli_json_text(k);
            json_decref(k);
            bool nested = (json_is_object(item) && json_object_size(item) > 0) ||
                          (json_is_array(item) && json_array_size(item) > 0);
            printf("%s:%s", text, nested ? "\n" : " ");
            print_yaml(item, level + 1, false);
        }
    } else if (json_is_array(j) && json_array_size(j) > 0) {
        json_array_foreach(j, i, item)
        {
            printf("%*s- ", in_list && i == 0 ? 0 : level * 2, "");
            print_yaml(item, level + 1, true);
        }
    } else {
        fm_autofree char *text = cli_json_text(j);
        printf("%s\n", text);
    }
}

static int print_jq(const struct cli *c, json_t *reply)
{
    fm_autofree char *text = cli_json_text(reply);
    jq_state *jq = jq_init();
    int rc = CLI_OK;
    if (jq == NULL || !jq_compile(jq, c->jq)) { /* jq itself has said what is wrong with the program */
        jq_teardown(&jq);
        return CLI_USAGE;
    }
    jq_start(jq, jv_parse(text), 0);
    jv result;
    while (jv_is_valid(result = jq_next(jq))) {
        if (jv_get_kind(result) == JV_KIND_STRING)
            printf("%s\n", jv_string_value(result)); /* as jq -r */
        else
            jv_dump(jv_copy(result), 0), printf("\n");
        jv_free(result);
    }
    if (jv_invalid_has_msg(jv_copy(result))) {
        jv message = jv_invalid_get_msg(result);
        fprintf(stderr, "fermata: jq: %s\n",
                jv_get_kind(message) == JV_KIND_STRING ? jv_string_value(message) : "failed");
        jv_free(message);
        rc = CLI_ERROR;
    } else {
        jv_free(result);
    }
    jq_teardown(&jq);
    return rc;
}

/* ---- cells ---- */

long long cli_time_ms(const char *text)
{
    int64_t seconds;
    int32_t nanos;
    if (text == NULL || !pb_timestamp_get(text, strlen(text), &seconds, &nanos))
        return -1;
    return seconds * 1000 + nanos / 1000000;
}

void cli_span_text(long long ms, char *ret, size_t n)
{
    static const struct {
        long long ms;
        const char *unit;
    } units[] = {
        {86400000, "d" },
        {3600000,  "h" },
        {60000,    "m" },
        {1000,     "s" },
        {1,        "ms"},
    };
    size_t i = 0;
    if (ms < 0)
        ms = 0;
    while (i + 1 < CLI_COUNT(units) && ms < units[i].ms)
        i++;
    int used = snprintf(ret, n, "%lld%s", ms / units[i].ms, units[i].unit);
    if (i < 3 && ms / units[i].ms < 10 && ms % units[i].ms >= units[i + 1].ms)
        snprintf(ret + used, n - (size_t)used, "%lld%s", ms % units[i].ms / units[i + 1].ms,
                 units[i + 1].unit);
}

static void put(struct fm_buf *out, const char *s)
{
    fm_buf_append(out, s, strlen(s));
}

static void put_time(const struct cli *c, const char *text, struct fm_buf *out)
{
    struct timespec now;
    char span[32];
    long long at = cli_time_ms(text);
    if (!c->terminal || at < 0) {
        put(out, text);
        return;
    }
    (void)clock_gettime(CLOCK_REALTIME, &now);
    long long ago = now.tv_sec * 1000 + now.tv_nsec / 1000000 - at;
    cli_span_text(ago < 0 ? -ago : ago, span, sizeof(span));
    put(out, ago < 0 ? "in " : "");
    put(out, span);
    put(out, ago < 0 ? "" : " ago");
}

/* "PAUSE_REASON_QUESTION" → "question" */
static void put_status(const char *text, struct fm_buf *out)
{
    const char *known[] = {"JOB_STATUS_", "HOST_STATUS_", "PAUSE_REASON_", "STEP_OUTCOME_"};
    for (size_t i = 0; i < CLI_COUNT(known); i++)
        if (strncmp(text, known[i], strlen(known[i])) == 0)
            text += strlen(known[i]);
    for (; *text != '\0'; text++) {
        char small = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        fm_buf_append(out, &small, 1);
    }
}

static void put_pairs(json_t *j, struct fm_buf *out)
{
    const char *key;
    json_t *item;
    bool some = false;
    json_object_foreach(j, key, item)
    {
        put(out, some ? "," : "");
        some = true;
        put(out, key);
        put(out, "=");
        put(out, json_is_string(item) ? json_string_value(item) : "…");
    }
}

/* Control characters would steer the terminal: each becomes a blank. */
static void make_plain(struct fm_buf *out)
{
    for (size_t i = 0; i < out->n; i++)
        if (out->p[i] < 0x20 || out->p[i] == 0x7f)
            out->p[i] = ' ';
        else if (out->p[i] == 0xc2 && i + 1 < out->n && out->p[i + 1] < 0xa0) /* C1 */
            out->p[i] = out->p[i + 1] = ' ';
}

static void make_cell(const struct cli *c, const struct cli_column *column, json_t *row, struct fm_buf *out)
{
    json_t *j = cli_get(row, column->path);
    if (j != NULL && column->show == CLI_AS_COUNT) {
        char text[24];
        snprintf(text, sizeof(text), "%zu", json_is_array(j) ? json_array_size(j) : json_object_size(j));
        put(out, text);
    } else if (json_is_string(j) && column->show == CLI_AS_TIME) {
        put_time(c, json_string_value(j), out);
    } else if (json_is_string(j) && column->show == CLI_AS_STATUS) {
        put_status(json_string_value(j), out);
    } else if (json_is_object(j) && column->show == CLI_AS_PAIRS) {
        put_pairs(j, out);
    } else if (json_is_string(j)) {
        put(out, json_string_value(j));
    } else if (j != NULL) {
        fm_autofree char *text = cli_json_text(j);
        put(out, text);
    }
    make_plain(out);
    fm_buf_append(out, "", 1);
    out->n--;
}

/* ---- tables ---- */

static const char *colour_of(const char *cell)
{
    static const char *const all[][2] = {
        {"failed",    "31"},
        {"cancelled", "31"},
        {"silent",    "31"},
        {"paused",    "33"},
        {"completed", "32"},
        {"attached",  "32"},
        {"running",   "36"},
    };
    for (size_t i = 0; i < CLI_COUNT(all); i++)
        if (strcmp(cell, all[i][0]) == 0)
            return all[i][1];
    return NULL;
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* The bytes of the first `most` characters. */
static size_t cut(const char *text, size_t most)
{
    size_t i = 0, n = 0;
    for (; text[i] != '\0'; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80 && n++ == most)
            break;
    return i;
}

static bool used(const struct cli *c, const struct cli_column *column)
{
    return !column->wide || strcmp(c->output, "wide") == 0;
}

static void print_cell(const struct cli *c, const char *text, size_t width, size_t most, const char *colour,
                       bool last)
{
    size_t n = width_of(text);
    bool long_one = n > most;
    size_t bytes = long_one ? cut(text, most - 1) : strlen(text);
    bool paint = c->colour && colour != NULL;
    printf("%s%s%s%.*s%s%s", paint ? "\033[" : "", paint ? colour : "", paint ? "m" : "", (int)bytes, text,
           long_one ? "…" : "", paint ? "\033[0m" : "");
    if (!last)
        printf("%*s", (int)(width - (long_one ? most : n)) + 2, "");
}

static void print_table(const struct cli *c, json_t *rows)
{
    const struct cli_command *command = c->command;
    size_t n_rows = json_array_size(rows), n = 0,
           most = strcmp(c->output, "wide") == 0 || !c->terminal ? 400 : MAX_CELL;
    const struct cli_column *columns[32];
    for (size_t k = 0; k < command->n_columns && n < CLI_COUNT(columns); k++)
        if (used(c, &command->columns[k]))
            columns[n++] = &command->columns[k];
    struct fm_buf *cells = fm_xcalloc(n_rows * n + 1, sizeof(*cells));
    size_t widths[CLI_COUNT(columns)];
    for (size_t k = 0; k < n; k++) {
        widths[k] = width_of(columns[k]->title);
        for (size_t i = 0; i < n_rows; i++) {
            struct fm_buf *cell = &cells[i * n + k];
            make_cell(c, columns[k], json_array_get(rows, i), cell);
            size_t w = width_of((const char *)cell->p);
            widths[k] = w > most ? most : w > widths[k] ? w : widths[k];
        }
    }
    for (size_t k = 0; n_rows > 0 && k < n; k++)
        print_cell(c, columns[k]->title, widths[k], most, "1", k + 1 == n);
    printf("%s", n_rows > 0 ? "\n" : "");
    for (size_t i = 0; i < n_rows; i++) {
        for (size_t k = 0; k < n; k++)
            print_cell(c, (const char *)cells[i * n + k].p, widths[k], most,
                       colour_of((const char *)cells[i * n + k].p), k + 1 == n);
        printf("\n");
    }
    for (size_t i = 0; i < n_rows * n; i++)
        fm_buf_done(&cells[i]);
    free(cells);
}

/* A message as lines of name and value. */
static void print_card(const struct cli *c, json_t *row)
{
    const struct cli_command *command = c->command;
    size_t width = 0;
    for (size_t k = 0; k < command->n_columns; k++)
        if (width_of(command->columns[k].title) > width)
            width = width_of(command->columns[k].title);
    for (size_t k = 0; k < command->n_columns; k++) {
        fm_auto(fm_buf) cell = {0};
        make_cell(c, &command->columns[k], row, &cell);
        if (cell.n == 0)
            continue;
        print_cell(c, command->columns[k].title, width, width, "1", false);
        print_cell(c, (const char *)cell.p, 0, 100000, colour_of((const char *)cell.p), true);
        printf("\n");
    }
}

int cli_show(const struct cli *c, json_t *reply)
{
    const struct cli_command *command = c->command;
    json_t *one = command->one == NULL ? reply : cli_get(reply, command->one);
    json_t *rows = command->list == NULL ? NULL : cli_get(reply, command->list), *item;
    size_t i;
    if (c->jq != NULL)
        return print_jq(c, reply);
    if (strcmp(c->output, "json") == 0) {
        print_json(reply, true);
    } else if (strcmp(c->output, "yaml") == 0) {
        print_yaml(reply, 0, false);
    } else if (strcmp(c->output, "jsonl") == 0) {
        if (command->list == NULL)
            print_json(one, false);
        json_array_foreach(rows, i, item) print_json(item, false);
    } else if (strcmp(c->output, "name") == 0) {
        if (command->list == NULL && command->id != NULL)
            printf("%s\n", cli_get_text(one, command->id, ""));
        json_array_foreach(rows, i, item) printf("%s\n", cli_get_text(item, command->id, ""));
    } else if (command->list != NULL) {
        print_table(c, rows);
    } else if (command->n_columns > 0) {
        print_card(c, one);
    } else if (json_object_size(reply) > 0) {
        print_json(reply, true);
    }
    return CLI_OK;
}
