/* Every field of every request, and of a host's step, with much in it: the work is in proportion to it. The
 * fields come from the descriptors, so that a new one is covered by itself. What is asked may be refused:
 * that, too, costs no more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core_rig.h"
#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/struct.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "linear.h"
#include "method.h"
#include "methods_table.h"

#define MAX_PATH 4 /* a field of a field of … */
#define ITEMS 4000
#define TEXT_BYTES 20 /* for each of the items */

/* ---- much in a field ---- */

static json_t *text_of(size_t n)
{
    char *s = malloc(n * TEXT_BYTES + 1);
    assert_non_null(s);
    memset(s, 'x', n * TEXT_BYTES);
    s[n * TEXT_BYTES] = '\0';
    json_t *j = json_string(s);
    free(s);
    return j;
}

static json_t *map_of(size_t n, json_t *value)
{
    json_t *j = json_object();
    for (size_t i = 0; i < n; i++) {
        char key[32];
        snprintf(key, sizeof(key), "k%zu", i);
        json_object_set(j, key, value);
    }
    json_decref(value);
    return j;
}

static json_t *list_of(size_t n, json_t *value)
{
    json_t *j = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append(j, value);
    json_decref(value);
    return j;
}

static bool is_map(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    return f->type == PROTOBUF_C_TYPE_MESSAGE && f->label == PROTOBUF_C_LABEL_REPEATED && d->n_fields == 2 &&
           strcmp(d->fields[0].name, "key") == 0 && strcmp(d->fields[1].name, "value") == 0;
}

/* One value: the largest number, a text of n; of messages those of the user with n in them. */
static json_t *value_of(const ProtobufCFieldDescriptor *f, size_t n)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return text_of(n);
    case PROTOBUF_C_TYPE_BOOL:
        return json_true();
    case PROTOBUF_C_TYPE_DOUBLE:
        return json_real(1.7e308);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM:
        return json_integer(2147483647);
    case PROTOBUF_C_TYPE_UINT32:
        return json_integer(4294967295);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return json_integer(9223372036854775807);
    case PROTOBUF_C_TYPE_MESSAGE:
        if (f->descriptor == &google__protobuf__struct__descriptor)
            return map_of(n, json_integer(1));
        if (f->descriptor == &google__protobuf__value__descriptor)
            return list_of(n, json_integer(1));
        return json_object();
    default:
        return NULL; /* bytes: no request has any */
    }
}

static json_t *much_of(const ProtobufCFieldDescriptor *f, size_t n)
{
    if (is_map(f))
        return map_of(n, value_of(&((const ProtobufCMessageDescriptor *)f->descriptor)->fields[1], 1));
    if (f->label != PROTOBUF_C_LABEL_REPEATED)
        return value_of(f, n);
    json_t *one = value_of(f, 1);
    return one == NULL ? NULL : list_of(n, one);
}

/* ---- each field in turn ---- */

struct path {
    const ProtobufCFieldDescriptor *fields[MAX_PATH];
    size_t n;
};

/* The last field of the path with much in it, inside of those before it. */
static json_t *nested(const struct path *p, size_t n)
{
    json_t *j = much_of(p->fields[p->n - 1], n);
    for (size_t i = p->n - 1; j != NULL && i-- > 0;) {
        json_t *outer = json_object();
        json_object_set_new(outer, p->fields[i + 1]->name, j);
        if (p->fields[i]->label == PROTOBUF_C_LABEL_REPEATED)
            outer = json_pack("[o]", outer);
        j = outer;
    }
    return j;
}

struct trial {
    const struct method *method; /* NULL: a step */
    const struct path *path;
};

/* Other fields of a request, so that it gets as far as it can. */
static json_t *usual(const ProtobufCMessageDescriptor *d, const char *job)
{
    json_t *j = json_object();
    if (protobuf_c_message_descriptor_get_field_by_name(d, "job_id") != NULL)
        json_object_set_new(j, "job_id", json_string(job));
    if (protobuf_c_message_descriptor_get_field_by_name(d, "task_id") != NULL)
        json_object_set_new(j, "task_id", json_string("i1"));
    if (protobuf_c_message_descriptor_get_field_by_name(d, "host_id") != NULL)
        json_object_set_new(j, "host_id", json_string("a"));
    if (strstr(d->name, "SubmitJob") != NULL)
        json_object_update_new(
            j, json_pack("{s:s, s:{s:s, s:s}}", "flow", "f", "entry", "routine", "r", "slot", "in"));
    return j;
}

static long long try(size_t n, void *arg)
{
    const struct trial *t = arg;
    json_t *value = nested(t->path, n);
    if (value == NULL) {
        const ProtobufCFieldDescriptor *f = t->path->fields[t->path->n - 1];
        assert_int_equal(f->type, PROTOBUF_C_TYPE_BYTES); /* which tests do not write */
        return 0;
    }
    assert_int_equal(rig_setup(NULL), 0);
    uint64_t a = host_joins("a", " ");
    put_flow_f(" ");
    const char *job = submit_f(" "), *name = t->path->fields[0]->name;
    (void)told_of(a, "assign");
    json_t *j = t->method != NULL
                    ? usual(t->method->request, job)
                    : json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i}", "task_id", "i1", "routine", "r",
                                "slot", "in", "inputs_through", 1, "outcome", 1, "number", 1, "epoch", 1);
    json_object_set_new(j, name, value);
    char *text = json_dumps(j, 0);
    json_decref(j);
    long long from = test_cpu_us();
    if (t->method != NULL) {
        uint64_t ticket = begin(t->method->name, "%s", text);
        rig_settle();
        (void)ticket;
    } else {
        host_says(a, "'steps': {'steps': [{'job_id': '%s', 'step': %s}]}", job, text);
    }
    long long took = test_cpu_us() - from;
    free(text);
    (void)call("Jobs/CountJobs", "{}"); /* it goes on */
    assert_int_equal(rig_teardown(NULL), 0);
    return took;
}

static void each_field(const ProtobufCMessageDescriptor *d, const struct method *method, struct path *p)
{
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        char name[256] = "";
        p->fields[p->n++] = f;
        for (size_t k = 0; k < p->n; k++) {
            strcat(name, k > 0 ? "." : "");
            strcat(name, p->fields[k]->name);
        }
        struct trial t = {method, p};
        test_linear(name, try, ITEMS, &t);
        bool inner = f->type == PROTOBUF_C_TYPE_MESSAGE && !is_map(f) &&
                     f->descriptor != &google__protobuf__struct__descriptor &&
                     f->descriptor != &google__protobuf__value__descriptor;
        if (inner && p->n < MAX_PATH)
            each_field(f->descriptor, method, p);
        p->n--;
    }
}

static void every_field_of_every_request(void **state)
{
    (void)state;
    const struct method *m;
    for (size_t i = 0; (m = method_at(i)) != NULL; i++) {
        struct path p = {.n = 0};
        each_field(m->request, m, &p);
    }
}

static void every_field_of_a_step(void **state)
{
    (void)state;
    struct path p = {.n = 0};
    each_field(&fermata__v1__step__descriptor, NULL, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_of_every_request),
        cmocka_unit_test(every_field_of_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
