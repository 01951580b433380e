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
#include "json_text.h"

/* clang-format would take the JSON for C. */
/* clang-format off */

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
    must("cmake -S %s/examples/plugin_c -B %s/plugin -DCMAKE_PREFIX_PATH=%s/prefix && cmake --build %s/plugin",
         getenv("SOURCE_DIR"), c.dir, c.dir, c.dir);
    char path[256];
    snprintf(path, sizeof(path), "%s/plugin/word_count.so", c.dir);
    const char *more[] = {"--plugins", path, NULL};
    cluster_coordinator(&c, NULL);
    cluster_host(&c, 0, "a", more);
    json_t *r = rpc(c.address, "Jobs/SubmitJob",
                    J({"inline_flow" : {"routines" : [ {"id" : "a", "type" : "word_count"} ]}, "entry" : {"routine" : "a", "slot" : "text"}, "data" : {"text" : "the sign  that holds a note"}}));
    json_t *done = wait_status(&c, at(r, "jobId"), "COMPLETED");
    assert_string_equal(at(done, "job.state.outputs[0].data.words"), "6");
    assert_string_equal(at(done, "job.state.routineStates.a.total"), "6");
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
         "cc -shared -fPIC $(pkg-config --cflags fermata-routine) -o %s/word_count.so %s/examples/plugin_c/word_count.c && "
         "test \"$(pkg-config --modversion fermata-routine)\" = \"$(%s/prefix/bin/hostd --version | sed 's/.* //')\"",
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
    const char *argv[] = {hostd, "--no-supervisor", "--coordinator", "127.0.0.1:1", "--id", "x", "--plugins", path, NULL};
    char *said = proc_fails(err, 2, argv);
    if (strstr(said, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", said, text);
    free(said);
}

#define HEAD "#include <fermata/routine.h>\nstatic int h(struct fm_ctx *c, const struct fm_value *d) { (void)c; (void)d; return 0; }\n" \
             "static const struct fm_slot s[] = {{\"in\", h}};\n" \
             "static const struct fm_routine_type t = {.abi = FM_ROUTINE_ABI, .name = NAME, .version = 1, .slots = s, .n_slots = 1};\n" \
             "static const struct fm_routine_type *const ts[] = {&t};\n"

static void what_is_no_good_plugin_is_refused_by_name(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c);
    build(&c, "none", "int x;\n");
    build(&c, "old", "#define NAME \"x\"\n" HEAD "const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI + 1, .types = ts, .n_types = 1};\n");
    build(&c, "crash", "#define NAME \"x\"\n" HEAD "static int i(char *w, size_t n) { (void)w; (void)n; *(volatile int *)0 = 1; return 0; }\n"
                       "const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI, .types = ts, .n_types = 1, .init = i};\n");
    build(&c, "refuse", "#include <stdio.h>\n#define NAME \"x\"\n" HEAD "static int i(char *w, size_t n) { snprintf(w, n, \"no licence\"); return 1; }\n"
                        "const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI, .types = ts, .n_types = 1, .init = i};\n");
    build(&c, "twice", "#define NAME \"log\"\n" HEAD "const struct fm_plugin fermata_plugin = {.abi = FM_ROUTINE_ABI, .types = ts, .n_types = 1};\n");
    check_refused(&c, "missing.so", "cannot be loaded");
    check_refused(&c, "none.so", "no symbol fermata_plugin");
    check_refused(&c, "old.so", "version 2 of the routine ABI");
    check_refused(&c, "crash.so", "crashes while it is loaded");
    check_refused(&c, "refuse.so", "no licence");
    check_refused(&c, "twice.so", "two routine types \"log\"");
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_installed_pkg_config_file_is_enough_to_build_a_plugin),
        cmocka_unit_test(the_example_is_built_against_the_installed_header_and_runs_a_job),
        cmocka_unit_test(what_is_no_good_plugin_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
