/* Flows as graphs. What a node and an edge say is decided once, in lines of text; the two languages differ in
 * how they name nodes, quote text and break lines. See graph.h. */
#include "graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "exact.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "google/protobuf/struct.pb-c.h"
#include "mem.h"

#define MAX_NAME_BYTES 64 /* of a name in a label; what is longer is cut */
#define MAX_NAMES 8       /* of a connection's mapping, filter or constants in its label */

struct graph {
    struct fm_buf *out;
    const char *line_break;
    /* What stands for a character inside quoted text; NULL: itself. */
    const char *(*escape)(char c);
};

static const char *escape_dot(char c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
    case '\r':
    case '\t':
        return " ";
    default:
        return NULL;
    }
}

static const char *escape_mermaid(char c)
{
    switch (c) {
    case '"':
        return "#quot;";
    case '#':
        return "#35;";
    case '<':
        return "#lt;";
    case '>':
        return "#gt;";
    case '&':
        return "#amp;";
    case '`': /* would make it Markdown */
        return "#96;";
    case '\n':
    case '\r':
    case '\t':
        return " ";
    default:
        return NULL;
    }
}

static void put(struct graph *g, const char *s)
{
    fm_buf_append(g->out, s, strlen(s));
}

static void put_escaped(struct graph *g, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *instead = g->escape(s[i]);
        if (instead != NULL)
            put(g, instead);
        else
            fm_buf_append(g->out, &s[i], 1);
    }
}

/* Text in a label. A cut leaves no half character. */
static void put_text(struct graph *g, const char *s)
{
    size_t n = strlen(s), end = n;
    if (n > MAX_NAME_BYTES)
        for (end = MAX_NAME_BYTES; end > 0 && ((unsigned char)s[end] & 0xC0) == 0x80;)
            end--;
    put_escaped(g, s, end);
    if (end < n)
        put(g, "…");
}

/* ---- what nodes and edges say ---- */

static const char *merge_name(int mode)
{
    switch (mode) {
    case MERGE_MODE_ALL:
        return "all";
    case MERGE_MODE_N_OF_M:
        return "n of m";
    case MERGE_MODE_APPEND:
        return "append";
    default:
        return NULL;
    }
}

static void put_routine(struct graph *g, const Fermata__V1__Routine *r)
{
    put_text(g, r->id);
    put(g, g->line_break);
    put_text(g, r->type);
    for (size_t i = 0; i < r->n_merge && i < MAX_NAMES; i++) {
        char count[24] = "";
        if (merge_name((int)r->merge[i]->mode) == NULL)
            continue;
        put(g, g->line_break);
        put_text(g, r->merge[i]->slot);
        put(g, ": ");
        if (r->merge[i]->n > 0)
            snprintf(count, sizeof(count), " (%u)", r->merge[i]->n);
        put(g, merge_name((int)r->merge[i]->mode));
        put(g, count);
    }
}

static void put_value(struct graph *g, const Google__Protobuf__Value *v)
{
    char number[NUMBER_TEXT_BYTES];
    struct number n;
    switch (v == NULL ? GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET : v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        put_text(g, "\"");
        put_text(g, v->string_value);
        put_text(g, "\"");
        return;
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        if (exact_number(v, &n) && number_print(n, number) > 0)
            put(g, number);
        return;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        put(g, v->bool_value ? "true" : "false");
        return;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        put(g, "[…]");
        return;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        put(g, "{…}");
        return;
    default:
        put(g, "null");
        return;
    }
}

static void put_fields(struct graph *g, const char *what, const Google__Protobuf__Struct *s)
{
    for (size_t i = 0; s != NULL && i < s->n_fields; i++) {
        put(g, g->line_break);
        if (i == MAX_NAMES) {
            put(g, "…");
            return;
        }
        put(g, what);
        put_text(g, s->fields[i]->key);
        put(g, " = ");
        put_value(g, s->fields[i]->value);
    }
}

static void put_connection(struct graph *g, const Fermata__V1__Connection *k)
{
    put_text(g, k->from->event);
    put(g, " → ");
    put_text(g, k->to->slot);
    put_fields(g, "if ", k->filter);
    for (size_t i = 0; i < k->n_mapping; i++) {
        put(g, g->line_break);
        if (i == MAX_NAMES) {
            put(g, "…");
            break;
        }
        put_text(g, k->mapping[i]->key);
        put(g, " as ");
        put_text(g, k->mapping[i]->value);
    }
    put_fields(g, "with ", k->constants);
}

/* ---- the languages ---- */

/* A whole name in quotes: two names that differ stay two. */
static void put_quoted(struct graph *g, const char *name)
{
    put(g, "\"");
    put_escaped(g, name, strlen(name));
    put(g, "\"");
}

void flow_graph_dot(const Fermata__V1__Flow *f, struct fm_buf *out)
{
    struct graph g = {out, "\\n", escape_dot};
    put(&g, "digraph ");
    put_quoted(&g, f->name);
    put(&g, " {\n  rankdir=LR;\n  node [shape=box, style=rounded];\n");
    for (size_t i = 0; i < f->n_routines; i++) {
        put(&g, "  ");
        put_quoted(&g, f->routines[i]->id);
        put(&g, " [label=\"");
        put_routine(&g, f->routines[i]);
        put(&g, "\"];\n");
    }
    for (size_t i = 0; i < f->n_connections; i++) {
        const Fermata__V1__Connection *k = f->connections[i];
        put(&g, "  ");
        put_quoted(&g, k->from->routine);
        put(&g, " -> ");
        put_quoted(&g, k->to->routine);
        put(&g, " [label=\"");
        put_connection(&g, k);
        put(&g, "\"];\n");
    }
    put(&g, "}\n");
    fm_buf_append(out, "", 1);
}

/* Routines by id, so that edges find the number of their node. */
struct node {
    const char *id;
    size_t number;
};

static int compare_nodes(const void *a, const void *b)
{
    return strcmp(((const struct node *)a)->id, ((const struct node *)b)->id);
}

static void put_node(struct graph *g, const struct node *nodes, size_t n, const char *id)
{
    char name[32] = "r";
    struct node key = {.id = id};
    const struct node *found = bsearch(&key, nodes, n, sizeof(*nodes), compare_nodes);
    if (found != NULL)
        snprintf(name, sizeof(name), "r%zu", found->number);
    put(g, name);
}

void flow_graph_mermaid(const Fermata__V1__Flow *f, struct fm_buf *out)
{
    struct graph g = {out, "<br/>", escape_mermaid};
    fm_autofree struct node *nodes = fm_xcalloc(f->n_routines + 1, sizeof(*nodes));
    for (size_t i = 0; i < f->n_routines; i++)
        nodes[i] = (struct node){f->routines[i]->id, i};
    qsort(nodes, f->n_routines, sizeof(*nodes), compare_nodes);
    put(&g, "flowchart LR\n");
    for (size_t i = 0; i < f->n_routines; i++) {
        put(&g, "  ");
        put_node(&g, nodes, f->n_routines, f->routines[i]->id);
        put(&g, "[\"");
        put_routine(&g, f->routines[i]);
        put(&g, "\"]\n");
    }
    for (size_t i = 0; i < f->n_connections; i++) {
        const Fermata__V1__Connection *k = f->connections[i];
        put(&g, "  ");
        put_node(&g, nodes, f->n_routines, k->from->routine);
        put(&g, " -- \"");
        put_connection(&g, k);
        put(&g, "\" --> ");
        put_node(&g, nodes, f->n_routines, k->to->routine);
        put(&g, "\n");
    }
    fm_buf_append(out, "", 1);
}
