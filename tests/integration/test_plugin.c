/* Plugins with real daemons: the example, built by its own project against an installed Fermata; and files
 * that are no good plugins. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "cluster.h"

static void must(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void must(const char *fmt, ...)
{
    char command[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(command, sizeof(command), fmt, ap);
    va_end(ap);
    const char *argv[] = {"sh", "-c", command, NULL};
    char *out = NULL, *err = NULL;
    if (proc_run(argv, NULL, &out, &err) != 0)
        fail_msg("%s:\n%s%s", command, out, err);
    free(out);
    free(err);
}

static void the_example_is_built_against_the_installed_header_and_runs_a_job(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    must("cmake --install %s --prefix %s/prefix", getenv("BUILD_DIR"), c.dir);
    must(
        "cmake -S %s/examples/plugin_c -B %s/plugin -DCMAKE_PREFIX_PATH=%s/prefix && cmake --build %s/plugin",
        getenv("SOURCE_DIR"), c.dir, c.dir, c.dir);
    char path[256];
    snprintf(path, sizeof(path), "%s/plugin/word_count.so", c.dir);
    const char *more[] = {"--plugins", path, NULL};
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", more);
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'word_count','config':{'min_letters':2}}]},"
                    "'entry':{'routine':'a','slot':'text'},'data':{'text':'the sign  that holds a note'}}");
    json_t *done = wait_status(&c, at(r, "jobId"), "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.words"), "5");
    assert_string_equal(at(done, "job.state.routineStates.a.total"), "5");
    json_decref(done);
    json_decref(r);
    cluster_done(&c);
}

static void the_installed_pkg_config_file_is_enough_to_build_a_plugin(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    must("cmake --install %s --prefix %s/prefix", getenv("BUILD_DIR"), c.dir);
    must("PKG_CONFIG_PATH=%s/prefix/share/pkgconfig && export PKG_CONFIG_PATH && "
         "cc -shared -fPIC $(pkg-config --cflags fermata-routine) -o %s/word_count.so "
         "%s/examples/plugin_c/word_count.c && "
         "test \"$(pkg-config --modversion fermata-routine)\" = \"$(%s/prefix/bin/hostd --version | sed "
         "'s/.* //')\"",
         c.dir, c.dir, getenv("SOURCE_DIR"), c.dir);
    cluster_done(&c);
}

static void build(struct cluster *c, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s.c", c->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
    const char *source = getenv("SOURCE_DIR");
    must("cc -shared -fPIC -I%s/hostd/include -I%s/common/include -o %s/%s.so %s", source, source, c->dir,
         name, path);
}

static void check_refused(struct cluster *c, const char *file, const char *text)
{
    char hostd[512], path[256], err[256];
    snprintf(hostd, sizeof(hostd), "%s/hostd/hostd", getenv("BUILD_DIR"));
    snprintf(path, sizeof(path), "%s/%s", c->dir, file);
    snprintf(err, sizeof(err), "%s/refused.log", c->dir);
    const char *argv[] = {
        hostd, "--no-supervisor", "--coordinator", "127.0.0.1:1", "--id", "x", "--plugins", path, NULL};
    char *said = proc_fails(err, 2, argv);
    if (strstr(said, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", said, text);
    free(said);
}

#define HEAD                                                                                                 \
    "#include <fermata/routine.h>\n#ifndef MORE\n#define MORE\n#endif\nstatic int h(struct fm_ctx *c, "      \
    "const struct fm_value *d) { (void)c; (void)d; return 0; }\n"                                            \
    "static const struct fm_slot s[] = {{\"in\", h}};\n"                                                     \
    "static const struct fm_routine_type t = {.abi = FM_ROUTINE_ABI, .name = NAME, .version = 1, .slots = "  \
    "s, .n_slots = 1 MORE};\n"                                                                               \
    "static const struct fm_routine_type *const ts[] = {&t};\n"

#define PLUGIN "const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI, .types = ts, .n_types = 1};\n"

static void what_is_no_good_plugin_is_refused_by_name(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    build(&c, "none", "int x;\n");
    build(
        &c, "new",
        "#define NAME \"x\"\n" HEAD
        "const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI + 1, .types = ts, .n_types = 1};\n");
    build(&c, "crash",
          "#define NAME \"x\"\n" HEAD
          "static int i(char *w, size_t n) { (void)w; (void)n; *(volatile int *)0 = 1; return 0; }\n"
          "const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI, .types = ts, .n_types = 1, .init "
          "= i};\n");
    build(&c, "refuse",
          "#include <stdio.h>\n#define NAME \"x\"\n" HEAD
          "static int i(char *w, size_t n) { snprintf(w, n, \"no licence\"); return 1; }\n"
          "const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI, .types = ts, .n_types = 1, .init "
          "= i};\n");
    build(&c, "twice",
          "#define NAME \"log\"\n" HEAD
          "const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI, .types = ts, .n_types = 1};\n");
    check_refused(&c, "missing.so", "cannot be loaded");
    check_refused(&c, "none.so", "no symbol fermata_plugin");
    check_refused(&c, "new.so", "version 4 of the routine ABI");
    check_refused(&c, "crash.so", "crashes while it is loaded");
    check_refused(&c, "refuse.so", "no licence");
    build(
        &c, "schema",
        "#define NAME \"acme.box\"\n#define MORE , .config_schema = \"{\\\"required\\\": 1}\"\n" HEAD PLUGIN);
    check_refused(&c, "twice.so", "two routine types \"log\"");
    check_refused(&c, "schema.so", "routine type acme.box");
    cluster_done(&c);
}

/* A plugin whose type "acme.box" emits its config at event "out", with this schema. */
static void build_box(struct cluster *c, const char *name, const char *schema)
{
    char text[2000];
    snprintf(text, sizeof(text),
             "#include <fermata/routine.h>\n"
             "static int h(struct fm_ctx *c, const struct fm_value *d) { (void)d; fm_ctx_emit(c, \"out\", "
             "fm_ctx_config(c)); return 0; }\n"
             "static const struct fm_slot s[] = {{\"in\", h}};\n"
             "static const char *const e[] = {\"out\"};\n"
             "static const struct fm_routine_type t = {.abi = FM_ROUTINE_ABI, .name = \"acme.box\", .version "
             "= 1, .slots = s, .n_slots = 1,\n"
             "    .events = e, .n_events = 1, .config_schema = \"%s\"};\n"
             "static const struct fm_routine_type *const ts[] = {&t};\n" PLUGIN,
             schema);
    build(c, name, text);
}

#define BOX(config) "{'flow':{'name':'box','routines':[{'id':'a','type':'acme.box','config':" config "}]}}"

static void put_fails(struct cluster *c, const char *request, const char *field, const char *text)
{
    char *said = rpc_fails(c->address, "Flows/PutFlow", "InvalidArgument", "%s", request);
    if (strstr(said, field) == NULL || strstr(said, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\" of %s", said, text, field);
    free(said);
}

static void a_configuration_is_checked_as_soon_as_a_host_has_told_its_schema(void **state)
{
    (void)state;
    struct cluster c;
    char path[256];
    cluster_init(&c);
    build_box(&c, "box",
              "{\\\"additionalProperties\\\":false,\\\"properties\\\":{\\\"prompt\\\":{\\\"type\\\":"
              "\\\"string\\\"}}}");
    snprintf(path, sizeof(path), "%s/box.so", c.dir);
    const char *more[] = {"--plugins", path, NULL};
    cluster_coordinator(&c, NULL);
    json_t *put = rpc(c.address, "Flows/PutFlow", BOX("{'promt':7}"));
    assert_non_null(strstr(at(put, "warnings[0]"), "its configuration is not checked"));
    json_decref(put);
    cluster_host(&c, 0, "a", more);
    put_fails(&c, BOX("{'promt':'x'}"), "flow.routines[0].config", "did you mean \\\"prompt\\\"?");
    put_fails(&c, BOX("{'prompt':7}"), "flow.routines[0].config.prompt",
              "prompt is a number; it must be a string");
    /* What is stored stays valid. */
    json_t *r = rpc(c.address, "Jobs/SubmitJob", "{'flow':'box','entry':{'routine':'a','slot':'in'}}");
    json_t *done = wait_status(&c, at(r, "jobId"), "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.promt"), "7");
    json_decref(done);
    json_decref(r);
    put = rpc(c.address, "Flows/PutFlow", BOX("{'prompt':'x'}"));
    assert_string_equal(at(put, "version"), "2");
    assert_string_equal(at(put, "warnings[0]"), "");
    json_decref(put);
    json_t *host = rpc(c.address, "Hosts/GetHost", "{'host_id':'a'}");
    json_t *types = json_at(host, "host.routineTypes");
    size_t i, n = 0;
    json_t *type;
    json_array_foreach(types, i, type) n += strlen(at(type, "configSchema")) > 0;
    assert_int_equal(n, 16);
    json_decref(host);
    cluster_done(&c);
}

static void another_schema_of_the_same_version_is_refused_on_that_host_only(void **state)
{
    (void)state;
    struct cluster c;
    char one[256], two[256];
    cluster_init(&c);
    build_box(&c, "one", "{\\\"properties\\\":{\\\"n\\\":{\\\"type\\\":\\\"number\\\"}}}");
    build_box(&c, "two", "{\\\"properties\\\":{\\\"n\\\":{\\\"type\\\":\\\"string\\\"}}}");
    snprintf(one, sizeof(one), "%s/one.so", c.dir);
    snprintf(two, sizeof(two), "%s/two.so", c.dir);
    const char *with_one[] = {"--plugins", one, NULL}, *with_two[] = {"--plugins", two, NULL};
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", with_one);
    cluster_host(&c, 1, "b", with_two);
    json_t *hosts = rpc(c.address, "Hosts/ListHosts", "{}");
    assert_string_equal(at(hosts, "hosts[0].refusedTypes[0].name"), "");
    assert_string_equal(at(hosts, "hosts[1].refusedTypes[0].name"), "acme.box");
    assert_string_equal(at(hosts, "hosts[1].refusedTypes[0].version"), "1");
    assert_non_null(strstr(at(hosts, "hosts[1].refusedTypes[0].reason"), "host a offers the same version"));
    assert_int_equal(json_array_size(json_at(hosts, "hosts[0].routineTypes")), 16);
    assert_int_equal(json_array_size(json_at(hosts, "hosts[1].routineTypes")), 15);
    json_decref(hosts);
    cluster_wait_log(&c, "host1.log", "the coordinator does not take a routine type");
    cluster_wait_log(&c, "coordinator.log", "a routine type of a host is refused");
    put_fails(&c, BOX("{'n':'x'}"), "flow.routines[0].config.n", "n is a string; it must be a number");
    for (int i = 0; i < 4; i++) { /* never on b, which does what else is asked of it */
        json_t *r = rpc(c.address, "Jobs/SubmitJob",
                        "{'inline_flow':{'routines':[{'id':'a','type':'acme.box','config':{'n':1}}]},'entry':"
                        "{'routine':'a','slot':'in'}}");
        json_t *done = wait_status(&c, at(r, "jobId"), "COMPLETED");
        assert_string_equal(at(done, "job.lastHost"), "a");
        json_decref(done);
        json_decref(r);
    }
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'log'}]},'entry':{'routine':'a','slot':'"
                    "input'},'placement':{'host':'b'}}");
    json_decref(wait_status(&c, at(r, "jobId"), "COMPLETED"));
    json_decref(r);
    cluster_done(&c);
}

/* As routine.h was at version 1. */
#define VERSION_1                                                                                            \
    "#include <stddef.h>\n#include <stdint.h>\nstruct fm_ctx; struct fm_value;\n"                            \
    "void fm_ctx_emit(struct fm_ctx *, const char *, const struct fm_value *);\n"                            \
    "struct slot { const char *name; int (*handler)(struct fm_ctx *, const struct fm_value *); };\n"         \
    "struct type { uint32_t abi; const char *name; uint32_t version, flags; const struct slot *slots; "      \
    "size_t n_slots;\n"                                                                                      \
    "    const char *const *events; size_t n_events; uint32_t default_attempts; };\n"                        \
    "struct plugin { uint32_t abi; const struct type *const *types; size_t n_types; int (*init)(char *, "    \
    "size_t); };\n"

static void a_plugin_that_was_built_for_version_1_runs(void **state)
{
    (void)state;
    struct cluster c;
    char path[256];
    cluster_init(&c);
    build(&c, "one",
          VERSION_1
          "static int h(struct fm_ctx *c, const struct fm_value *d) { fm_ctx_emit(c, \"tool_call\", d); "
          "return 0; }\n"
          "static const struct slot s[] = {{\"in\", h}};\nstatic const char *const e[] = {\"tool_call\"};\n"
          "static const struct type t = {1, \"acme.old\", 1, 0, s, 1, e, 1, 0}, *const ts[] = {&t};\n"
          "const struct plugin fermata_plugin = {1, ts, 1, 0};\n");
    snprintf(path, sizeof(path), "%s/one.so", c.dir);
    const char *more[] = {"--plugins", path, NULL};
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", more);
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    "{'inline_flow':{'routines':[{'id':'a','type':'acme.old','config':{'any':1}}]},'entry':{'"
                    "routine':'a','slot':'in'},'data':{'call_id':'x'}}");
    json_t *done = wait_status(&c, at(r, "jobId"), "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].event"), "tool_call");
    json_decref(done);
    json_decref(r);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_installed_pkg_config_file_is_enough_to_build_a_plugin),
        cmocka_unit_test(the_example_is_built_against_the_installed_header_and_runs_a_job),
        cmocka_unit_test(what_is_no_good_plugin_is_refused_by_name),
        cmocka_unit_test(a_configuration_is_checked_as_soon_as_a_host_has_told_its_schema),
        cmocka_unit_test(another_schema_of_the_same_version_is_refused_on_that_host_only),
        cmocka_unit_test(a_plugin_that_was_built_for_version_1_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
