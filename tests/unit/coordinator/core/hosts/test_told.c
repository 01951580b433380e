/* What hosts tell of routine types: which schema counts, and what is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utlist.h>

#include "flow.h"
#include "host.h"
#include "json_text.h"
#include "mem.h"
#include "routine_types.h"
#include "state.h"
#include "told.h"

#define OLD_SCHEMA "{'properties':{'n':{'type':'number'}}}"
#define SAME_SCHEMA "{'properties':{'n':{'description':'how many','type':'number'}},'title':'t'}"
#define NEW_SCHEMA "{'properties':{'n':{'type':'string'}}}"

static struct core core;
static struct host hosts[3];

static int setup(void **state)
{
    static char ids[3][2] = {"a", "b", "c"};
    (void)state;
    memset(&core, 0, sizeof(core));
    memset(hosts, 0, sizeof(hosts));
    for (size_t i = 0; i < 3; i++) {
        hosts[i].id = ids[i];
        HASH_ADD_KEYPTR(hh, core.hosts, hosts[i].id, 1, &hosts[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        host_clear_hello(&core, &hosts[i]);
    HASH_CLEAR(hh, core.hosts);
    assert_null(core.types); /* gone with their hosts */
    assert_null(core.contested);
    assert_int_equal(core.told_bytes, 0);
    return 0;
}

/* What a type is besides its schema: with another one of these it is another type. */
enum twist { PLAIN, TURNED, OTHER_SLOT, MORE_EVENTS, NO_CALL, EFFECTS };

/* Host i says Hello again, with this one type. */
static void hello_with(size_t i, const char *type, uint32_t version, const char *schema, enum twist twist)
{
    Fermata__V1__Hello m = FERMATA__V1__HELLO__INIT;
    Fermata__V1__RoutineType t = FERMATA__V1__ROUTINE_TYPE__INIT, *types[] = {&t};
    char in[] = "in", out[] = "out", ask[] = "ask", other[] = "other";
    char *slots[] = {twist == OTHER_SLOT ? other : in};
    char *events[] = {twist == TURNED ? ask : out, twist == TURNED ? out : ask, other}, *calls[] = {ask};
    fm_autofree char *name = fm_xstrdup(type), *text = json_text(schema);
    t.name = name;
    t.version = version;
    t.config_schema = text;
    t.slots = slots;
    t.n_slots = 1;
    t.events = events;
    t.n_events = twist == MORE_EVENTS ? 3 : 2;
    t.call_events = t.notice_events = calls;
    t.n_call_events = twist == NO_CALL ? 0 : 1;
    t.n_notice_events = 1;
    t.effects = twist == EFFECTS;
    m.routine_types = types;
    m.n_routine_types = 1;
    host_clear_hello(&core, &hosts[i]);
    told_take(&core, &hosts[i], &m);
    told_settle(&core);
}

static void hello(size_t i, const char *type, uint32_t version, const char *schema)
{
    hello_with(i, type, version, schema, PLAIN);
}

static void leaves(size_t i)
{
    host_clear_hello(&core, &hosts[i]);
    told_settle(&core);
}

static bool offers(size_t i, const char *type)
{
    return type_info_find(hosts[i].types, type) != NULL;
}

/* The schema that flows are checked with; "": none. */
static const char *schema_in_use(const char *type)
{
    const struct type_spec *t = types_find(&core, type);
    const struct told_type *told = t == NULL ? NULL : told_type_find(&core, type, t->version);
    return told == NULL ? "" : type_info_schema(told->offers);
}

static void uses(const char *type, const char *schema)
{
    fm_autofree char *want = json_text(schema);
    assert_string_equal(schema_in_use(type), want);
}

static void is_refused(size_t i, const char *type, uint32_t version, const char *reason)
{
    const struct refused_type *r = hosts[i].refused;
    if (r == NULL)
        fail_msg("nothing of host %s is refused", hosts[i].id);
    assert_false(offers(i, type));
    assert_string_equal(r->name, type);
    assert_int_equal(r->version, version);
    if (strstr(r->reason, reason) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", r->reason, reason);
}

static void what_a_host_tells_is_known_with_its_schema(void **state)
{
    (void)state;
    const struct flow_types known = {types_find, &core};
    assert_null(flow_type("acme.box", &known));
    hello(0, "acme.box", 3, OLD_SCHEMA);
    const struct type_spec *t = flow_type("acme.box", &known);
    assert_non_null(t);
    assert_int_equal(t->version, 3);
    assert_string_equal(t->slots[0].name, "in");
    assert_true(t->events[1].call && t->events[1].notice && !t->events[0].call && !t->events[0].notice);
    assert_non_null(fm_value_get(t->config, "properties.n"));
    assert_null(t->rules);
    assert_true(offers(0, "acme.box"));
    assert_null(hosts[0].refused);
}

static void hosts_that_tell_the_same_share_it(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, OLD_SCHEMA);
    hello(1, "acme.box", 1, OLD_SCHEMA);
    assert_ptr_equal(type_info_find(hosts[0].types, "acme.box")->told,
                     type_info_find(hosts[1].types, "acme.box")->told);
    leaves(0);
    uses("acme.box", OLD_SCHEMA);
}

static void another_schema_of_the_same_version_is_refused_and_the_first_goes_on(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, OLD_SCHEMA);
    hello(1, "acme.box", 1, NEW_SCHEMA);
    is_refused(1, "acme.box", 1, "host a offers the same version");
    assert_true(offers(0, "acme.box"));
    uses("acme.box", OLD_SCHEMA);
    hello(1, "acme.other", 1, NEW_SCHEMA); /* another type of it is not touched */
    assert_true(offers(1, "acme.other"));
    assert_null(hosts[1].refused);
}

static void other_words_are_no_other_schema(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, OLD_SCHEMA);
    hello(1, "acme.box", 1, SAME_SCHEMA);
    assert_true(offers(0, "acme.box") && offers(1, "acme.box"));
    hello(2, "acme.box", 1, OLD_SCHEMA);
    assert_true(offers(2, "acme.box"));
    hello(0, "acme.box", 1, NEW_SCHEMA);
    is_refused(0, "acme.box", 1, "host b offers");
}

static void a_schema_that_nobody_offers_any_more_may_be_replaced(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, OLD_SCHEMA);
    hello(0, "acme.box", 1, NEW_SCHEMA); /* its own earlier one does not count */
    assert_true(offers(0, "acme.box"));
    uses("acme.box", NEW_SCHEMA);
    leaves(0);
    hello(1, "acme.box", 1, OLD_SCHEMA);
    assert_true(offers(1, "acme.box"));
    uses("acme.box", OLD_SCHEMA);
}

static void the_newest_version_counts_as_long_as_it_is_offered(void **state)
{
    (void)state;
    hello(0, "acme.box", 2, NEW_SCHEMA);
    hello(1, "acme.box", 1, OLD_SCHEMA);
    assert_true(offers(0, "acme.box") && offers(1, "acme.box"));
    uses("acme.box", NEW_SCHEMA);
    hello(2, "acme.box", 1, NEW_SCHEMA); /* of version 1 there is another one */
    is_refused(2, "acme.box", 1, "host b offers");
    leaves(0);
    hello(1, "acme.box", 1, OLD_SCHEMA);
    uses("acme.box", OLD_SCHEMA);
    hello(0, "acme.box", 3, NEW_SCHEMA);
    uses("acme.box", NEW_SCHEMA);
}

static void a_host_that_tells_no_schema_contradicts_nobody(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, "");
    assert_string_equal(schema_in_use("acme.box"), "");
    hello(1, "acme.box", 1, OLD_SCHEMA);
    hello(2, "acme.box", 1, "");
    assert_true(offers(0, "acme.box") && offers(1, "acme.box") && offers(2, "acme.box"));
    uses("acme.box", OLD_SCHEMA);
}

static void rules_and_data_are_those_of_the_very_version(void **state)
{
    (void)state;
    const struct flow_types known = {types_find, &core};
    const struct type_spec *own = type_catalog_find("http");
    hello(0, "http", own->version + 1, OLD_SCHEMA);
    assert_null(flow_type("http", &known)->rules);
    leaves(0);
    hello(0, "http", own->version, own->config_text);
    assert_ptr_equal(flow_type("http", &known), own);
    hello(0, "http", own->version, "");
    assert_ptr_equal(flow_type("http", &known), own);
}

static void of_a_built_in_type_the_catalog_decides(void **state)
{
    (void)state;
    const struct flow_types known = {types_find, &core};
    const struct type_spec *own = type_catalog_find("exec");
    hello(0, "exec", own->version, "{}");
    is_refused(0, "exec", own->version, "it is a built-in type");
    assert_ptr_equal(flow_type("exec", &known), own);
    hello(1, "exec", own->version, own->config_text);
    assert_true(offers(1, "exec"));
    hello(0, "exec", own->version + 1, OLD_SCHEMA); /* a newer hostd */
    assert_int_equal(flow_type("exec", &known)->version, own->version + 1);
    leaves(0);
    assert_ptr_equal(flow_type("exec", &known), own);
}

static void what_nobody_offers_any_more_is_forgotten(void **state)
{
    (void)state;
    const struct flow_types known = {types_find, &core};
    hello(0, "acme.box", 1, OLD_SCHEMA);
    hello(1, "acme.box", 1, OLD_SCHEMA);
    hello(2, "acme.box", 2, NEW_SCHEMA);
    uses("acme.box", NEW_SCHEMA);
    leaves(2);
    uses("acme.box", OLD_SCHEMA);
    assert_int_equal(flow_type("acme.box", &known)->version, 1);
    leaves(0);
    uses("acme.box", OLD_SCHEMA);
    leaves(1);
    assert_null(flow_type("acme.box", &known));
}

static void other_slots_or_events_of_the_same_version_are_refused_and_the_first_goes_on(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, OLD_SCHEMA);
    hello_with(1, "acme.box", 1, OLD_SCHEMA, TURNED); /* in another order it is the same */
    assert_true(offers(1, "acme.box"));
    for (enum twist twist = OTHER_SLOT; twist <= EFFECTS; twist++) {
        hello_with(2, "acme.box", 1, "", twist);
        is_refused(2, "acme.box", 1, "host a offers the same version with other slots, events or effects");
        const struct type_spec *t = types_find(&core, "acme.box");
        assert_string_equal(t->slots[0].name, "in");
        assert_int_equal(t->n_events, 2);
        assert_true(t->events[1].call && !t->effects);
    }
    hello_with(2, "acme.box", 2, "", OTHER_SLOT); /* of another version it is nobody's business */
    assert_true(offers(2, "acme.box"));
}

static void what_was_refused_is_taken_when_nobody_offers_the_other_any_more(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, OLD_SCHEMA);
    hello_with(1, "acme.box", 1, NEW_SCHEMA, OTHER_SLOT);
    hello(2, "acme.box", 1, NEW_SCHEMA);
    is_refused(1, "acme.box", 1, "host a offers");
    is_refused(2, "acme.box", 1, "host a offers");
    hello(0, "acme.box", 1, OLD_SCHEMA); /* its stream broke and came again */
    is_refused(1, "acme.box", 1, "host a offers");
    core.match_wanted = false;
    leaves(0);
    assert_true(offers(1, "acme.box")); /* the first of those that wait */
    assert_null(hosts[1].refused);
    assert_true(core.match_wanted);
    assert_string_equal(types_find(&core, "acme.box")->slots[0].name, "other");
    is_refused(2, "acme.box", 1, "host b offers the same version with other slots");
    hello(1, "acme.other", 1, NEW_SCHEMA); /* it comes without the type */
    assert_true(offers(2, "acme.box"));
    uses("acme.box", NEW_SCHEMA);
}

static void who_left_is_not_waited_for(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, OLD_SCHEMA);
    hello(1, "acme.box", 1, NEW_SCHEMA);
    leaves(1);
    leaves(0);
    assert_null(core.types);
    hello(2, "acme.box", 1, NEW_SCHEMA);
    assert_true(offers(2, "acme.box"));
}

static void a_type_is_taken_once_of_a_hello(void **state)
{
    (void)state;
    Fermata__V1__Hello m = FERMATA__V1__HELLO__INIT;
    Fermata__V1__RoutineType t[2] = {FERMATA__V1__ROUTINE_TYPE__INIT, FERMATA__V1__ROUTINE_TYPE__INIT};
    Fermata__V1__RoutineType *types[] = {&t[0], &t[1]};
    char name[] = "acme.box", schema[] = "{\"properties\": {}}";
    m.routine_types = types;
    m.n_routine_types = 2;
    t[0].name = t[1].name = name;
    t[0].version = 1;
    t[1].version = 2;
    told_take(&core, &hosts[0], &m);
    assert_int_equal(type_info_find(hosts[0].types, "acme.box")->told->spec.version, 1);
    assert_non_null(strstr(hosts[0].refused->reason, "twice"));
    hello(0, "acme.box", 1, OLD_SCHEMA);
    t[0].config_schema = schema; /* host a says something else; when it goes the name is taken already */
    told_take(&core, &hosts[1], &m);
    assert_true(offers(1, "acme.box"));
    leaves(0);
    assert_int_equal(type_info_find(hosts[1].types, "acme.box")->told->spec.version, 2);
}

static void a_long_name_of_a_slot_is_refused_with_its_type(void **state)
{
    (void)state;
    Fermata__V1__Hello m = FERMATA__V1__HELLO__INIT;
    Fermata__V1__RoutineType t[2] = {FERMATA__V1__ROUTINE_TYPE__INIT, FERMATA__V1__ROUTINE_TYPE__INIT};
    Fermata__V1__RoutineType *types[] = {&t[0], &t[1]};
    char a[] = "a", b[] = "b", name[130], *names[] = {name};
    memset(name, 'x', 129);
    name[129] = '\0';
    m.routine_types = types;
    m.n_routine_types = 2;
    t[0].name = a;
    t[0].notice_events = names;
    t[0].n_notice_events = 1;
    t[1].name = b;
    t[1].slots = names;
    t[1].n_slots = 1;
    told_take(&core, &hosts[0], &m);
    is_refused(0, "a", 0, "129 bytes; the limit is 128");
    assert_false(offers(0, "b"));
    name[128] = '\0';
    host_clear_hello(&core, &hosts[0]);
    told_take(&core, &hosts[0], &m);
    assert_true(offers(0, "a") && offers(0, "b"));
}

static void what_is_refused_is_listed_up_to_a_limit(void **state)
{
    (void)state;
    enum { TYPES = 200 };
    Fermata__V1__Hello m = FERMATA__V1__HELLO__INIT;
    static Fermata__V1__RoutineType t[TYPES], *types[TYPES];
    static char name[TYPES][8], no_schema[] = "[";
    for (size_t i = 0; i < TYPES; i++) {
        fermata__v1__routine_type__init(&t[i]);
        snprintf(name[i], sizeof(name[i]), "t%zu", i);
        t[i].name = name[i];
        t[i].config_schema = no_schema;
        types[i] = &t[i];
    }
    m.routine_types = types;
    m.n_routine_types = TYPES;
    told_take(&core, &hosts[0], &m);
    const struct refused_type *r;
    size_t n;
    DL_COUNT(hosts[0].refused, r, n);
    assert_int_equal(n, 64);
}

static void the_definitions_of_all_hosts_have_a_limit_that_shuts_nobody_out(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, OLD_SCHEMA);
    size_t real = core.told_bytes;
    core.told_bytes = 256u << 20; /* as if many hosts had told much */
    hello(1, "acme.box", 1, OLD_SCHEMA);
    assert_true(offers(1, "acme.box")); /* what is known already costs next to nothing */
    hello(2, "acme.new", 1, OLD_SCHEMA);
    assert_false(offers(2, "acme.new"));
    assert_null(hosts[2].refused);
    leaves(1);
    leaves(2);
    assert_int_equal(core.told_bytes, 256u << 20);
    core.told_bytes = real;
    hello(2, "acme.new", 1, OLD_SCHEMA);
    assert_true(offers(2, "acme.new"));
}

static void the_names_of_a_type_and_of_a_hello_have_a_limit(void **state)
{
    (void)state;
    enum { MOST = 256, TYPES = 100 };
    Fermata__V1__Hello m = FERMATA__V1__HELLO__INIT;
    static Fermata__V1__RoutineType t[TYPES], *types[TYPES];
    static char *events[MOST + 1], name[TYPES][8], event[MOST + 1][8];
    for (size_t i = 0; i <= MOST; i++) {
        snprintf(event[i], sizeof(event[i]), "e%zu", i);
        events[i] = event[i];
    }
    for (size_t i = 0; i < TYPES; i++) {
        fermata__v1__routine_type__init(&t[i]);
        snprintf(name[i], sizeof(name[i]), "t%zu", i);
        t[i].name = name[i];
        t[i].version = 1;
        t[i].events = events;
        t[i].n_events = i == 0 ? MOST + 1 : MOST;
        types[i] = &t[i];
    }
    m.routine_types = types;
    m.n_routine_types = TYPES;
    told_take(&core, &hosts[0], &m);
    is_refused(0, "t0", 1, "257 slots or events; the limit is 256");
    assert_true(offers(0, "t1"));
    assert_int_equal(HASH_COUNT(hosts[0].types), 20000 / MOST);
}

static void a_schema_that_is_not_sound_is_refused(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, "{'properties':");
    is_refused(0, "acme.box", 1, "not JSON");
    hello(0, "acme.box", 1, "{'properties':{'a':{'pattern':'(a*)*'}}}");
    is_refused(0, "acme.box", 1, "properties.a.pattern: this schema may have no patterns");
    fm_autofree char *large = fm_xcalloc(TYPE_SCHEMA_BYTES + 2, 1);
    memset(large, ' ', TYPE_SCHEMA_BYTES + 1);
    memcpy(large, "{}", 2);
    hello(0, "acme.box", 1, large);
    is_refused(0, "acme.box", 1, "65536");
    assert_null(core.types);
}

static void the_schemas_of_one_hello_have_a_limit(void **state)
{
    (void)state;
    size_t n = TYPE_SCHEMAS_BYTES / TYPE_SCHEMA_BYTES + 1, refused = 0;
    fm_autofree char *large = fm_xcalloc(TYPE_SCHEMA_BYTES + 1, 1);
    Fermata__V1__Hello m = FERMATA__V1__HELLO__INIT;
    Fermata__V1__RoutineType types[20], *pointers[20];
    char names[20][8];
    memset(large, ' ', TYPE_SCHEMA_BYTES);
    memcpy(large, "{}", 2);
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "t%zu", i);
        fermata__v1__routine_type__init(&types[i]);
        types[i].name = names[i];
        types[i].config_schema = large;
        pointers[i] = &types[i];
    }
    m.routine_types = pointers;
    m.n_routine_types = n;
    told_take(&core, &hosts[0], &m);
    const struct refused_type *r;
    DL_COUNT(hosts[0].refused, r, refused);
    assert_int_equal(refused, 1);
    is_refused(0, names[n - 1], 0, "1048576");
}

static void clients_see_what_is_taken_and_what_is_refused(void **state)
{
    (void)state;
    hello(0, "acme.box", 1, OLD_SCHEMA);
    hello(1, "acme.box", 1, NEW_SCHEMA);
    Fermata__V1__Host *a = host_view(&core, &hosts[0]), *b = host_view(&core, &hosts[1]);
    assert_int_equal(a->n_routine_types, 1);
    assert_int_equal(a->n_refused_types, 0);
    assert_string_equal(a->routine_types[0]->name, "acme.box");
    assert_int_equal(a->routine_types[0]->n_events, 2);
    assert_int_equal(a->routine_types[0]->n_call_events, 1);
    assert_string_equal(a->routine_types[0]->config_schema, ""); /* only GetHost has it */
    assert_int_equal(b->n_routine_types, 0);
    assert_int_equal(b->n_refused_types, 1);
    assert_string_equal(b->refused_types[0]->name, "acme.box");
    assert_true(strlen(b->refused_types[0]->reason) > 0);
    fermata__v1__host__free_unpacked(a, NULL);
    fermata__v1__host__free_unpacked(b, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_a_host_tells_is_known_with_its_schema),
        TEST(hosts_that_tell_the_same_share_it),
        TEST(another_schema_of_the_same_version_is_refused_and_the_first_goes_on),
        TEST(other_words_are_no_other_schema),
        TEST(a_schema_that_nobody_offers_any_more_may_be_replaced),
        TEST(the_newest_version_counts_as_long_as_it_is_offered),
        TEST(a_host_that_tells_no_schema_contradicts_nobody),
        TEST(rules_and_data_are_those_of_the_very_version),
        TEST(of_a_built_in_type_the_catalog_decides),
        TEST(what_nobody_offers_any_more_is_forgotten),
        TEST(other_slots_or_events_of_the_same_version_are_refused_and_the_first_goes_on),
        TEST(what_was_refused_is_taken_when_nobody_offers_the_other_any_more),
        TEST(who_left_is_not_waited_for),
        TEST(a_type_is_taken_once_of_a_hello),
        TEST(a_long_name_of_a_slot_is_refused_with_its_type),
        TEST(what_is_refused_is_listed_up_to_a_limit),
        TEST(the_definitions_of_all_hosts_have_a_limit_that_shuts_nobody_out),
        TEST(the_names_of_a_type_and_of_a_hello_have_a_limit),
        TEST(a_schema_that_is_not_sound_is_refused),
        TEST(the_schemas_of_one_hello_have_a_limit),
        TEST(clients_see_what_is_taken_and_what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
