/* Configuration. */
#define _GNU_SOURCE
#include <cmocka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"

static struct {
    const char *id;
    int64_t capacity, lease_ms;
    bool quiet;
    int format;
    struct conf_labels labels;
} opt;

static const char *const formats[] = {"text", "json", NULL};
static const struct conf_option options[] = {
    {"id",       CONF_STRING,   &opt.id,       "NAME",   "name of this host",   0,   16,      NULL   },
    {"capacity", CONF_INT,      &opt.capacity, "N",      "how many jobs",       1,   100000,  NULL   },
    {"lease",    CONF_DURATION, &opt.lease_ms, "TIME",   "how long it is kept", 200, 3600000, NULL   },
    {"quiet",    CONF_BOOL,     &opt.quiet,    NULL,     "say less",            0,   0,       NULL   },
    {"format",   CONF_CHOICE,   &opt.format,   "FORMAT", "of lines",            0,   0,       formats},
    {"label",    CONF_LABEL,    &opt.labels,   "K=V",    "of this host",        0,   0,       NULL   },
};
#define N (sizeof(options) / sizeof(options[0]))

static struct fm_err err;
static enum conf_action action;
static char path[] = "/tmp/test_conf_XXXXXX";

static int set_up(void **state)
{
    (void)state;
    opt.id = "default";
    opt.capacity = 64;
    opt.lease_ms = 10000;
    opt.quiet = false;
    opt.format = 0;
    opt.labels = (struct conf_labels){0};
    memset(&err, 0, sizeof(err));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    conf_done(options, N);
    fm_err_done(&err);
    return 0;
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const void *text, size_t n)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Reads the arguments, separated by '|'; FILE stands for the file's path. */
static int read_args(const char *line)
{
    char copy[16384];
    char prog[] = "prog", *argv[64] = {prog}, *rest = copy;
    int argc = 1;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *arg; line[0] != '\0' && (arg = strsep(&rest, "|")) != NULL;)
        argv[argc++] = strcmp(arg, "FILE") == 0 ? path : arg;
    int rc = conf_read(options, N, argc, argv, &action, &err);
    assert_int_equal(rc, -(int)err.code);
    return rc;
}

static void refused(const char *line, const char *part, const char *other)
{
    opt.id = "default";
    assert_true(read_args(line) < 0);
    assert_non_null(strstr(err.msg, part));
    assert_non_null(strstr(err.msg, other));
    conf_done(options, N);
    fm_err_done(&err);
}

static void nothing_given_leaves_the_defaults(void **state)
{
    (void)state;
    assert_int_equal(read_args(""), 0);
    assert_int_equal(action, CONF_RUN);
    assert_string_equal(opt.id, "default");
    assert_int_equal(opt.capacity, 64);
}

static void flags_take_their_value_after_a_space_or_an_equals_sign(void **state)
{
    (void)state;
    assert_int_equal(read_args("--id|a|--capacity=7|--format|json|--lease|2m|--quiet|--label|zone=a|--label="
                               "tier=x=y|--label|empty="),
                     0);
    assert_string_equal(opt.id, "a");
    assert_int_equal(opt.capacity, 7);
    assert_int_equal(opt.format, 1);
    assert_int_equal(opt.lease_ms, 120000);
    assert_true(opt.quiet);
    assert_int_equal(opt.labels.n, 3);
    assert_string_equal(opt.labels.items[0].key, "zone");
    assert_string_equal(opt.labels.items[0].value, "a");
    assert_string_equal(opt.labels.items[1].key, "tier");
    assert_string_equal(opt.labels.items[1].value, "x=y");
    assert_string_equal(opt.labels.items[2].value, "");
}

static void a_bool_can_be_switched_off(void **state)
{
    (void)state;
    opt.quiet = true;
    assert_int_equal(read_args("--quiet=false"), 0);
    assert_false(opt.quiet);
}

static void durations_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"250ms", 250    },
        {"10s",   10000  },
        {"1.5s",  1500   },
        {"2m",    120000 },
        {"1h",    3600000},
        {"0.25s", 250    }
    };
    char line[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(line, sizeof(line), "--lease=%s", cases[i].text);
        opt.id = "default";
        assert_int_equal(read_args(line), 0);
        assert_int_equal(opt.lease_ms, cases[i].ms);
        conf_done(options, N);
    }
}

static void bad_durations_are_refused_with_the_range(void **state)
{
    (void)state;
    static const char *const bad[] = {"10",   "s",   "",   "-1s",   " 1s", "1 s",  "0x10s",
                                      "1e3s", ".5s", "1d", "100ms", "2h",  "nans", "99999999999999999999s"};
    char line[64];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "--lease=%s", bad[i]);
        refused(line, "--lease", "from 200ms to 1h");
    }
    assert_int_equal(opt.lease_ms, 10000);
}

static void bad_numbers_are_refused_with_the_range(void **state)
{
    (void)state;
    static const char *const bad[] = {"0",  "100001", "",   "x", "1x",  "1.0",
                                      " 1", "+1",     "-5", "-", "0x1", "99999999999999999999"};
    char line[64];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(line, sizeof(line), "--capacity=%s", bad[i]);
        refused(line, "--capacity", "from 1 to 100000");
    }
}

static void other_bad_values_are_refused_with_what_is_allowed(void **state)
{
    (void)state;
    refused("--format=xml", "--format xml", "text json");
    refused("--quiet=yes", "--quiet yes", "true or false");
    refused("--id=", "--id", "1 to 16 bytes");
    refused("--id=12345678901234567", "--id 12345678901234567", "1 to 16 bytes");
    refused("--label=zone", "--label zone", "key=value");
    refused("--label==a", "--label", "key=value");
    refused("--label|a=1|--label|a=2", "--label a=2", "already given");
}

static void unknown_options_and_loose_words_are_refused(void **state)
{
    (void)state;
    refused("--capacitance|3", "no option --capacitance", "--help");
    refused("--capa=3", "no option --capa", "--help");
    refused("start", "\"start\" is not an option", "--help");
    refused("-x", "\"-x\" is not an option", "--help");
    refused("--", "\"--\" is not an option", "--help");
    refused("--quiet|false", "\"false\" is not an option", "--help");
}

static void an_option_given_twice_is_refused(void **state)
{
    (void)state;
    refused("--id|a|--id=b", "--id b", "twice");
    write_file("", 0);
    refused("--config|FILE|--config|FILE", "--config", "twice");
}

static void a_flag_without_its_value_is_refused(void **state)
{
    (void)state;
    refused("--id", "--id", "needs a value");
    refused("--config", "--config", "needs a value");
}

static void help_and_version_end_the_reading(void **state)
{
    (void)state;
    assert_int_equal(read_args("--help|--nonsense"), 0);
    assert_int_equal(action, CONF_HELP);
    conf_done(options, N);
    opt.id = "default";
    assert_int_equal(read_args("--id|x|--version"), 0);
    assert_int_equal(action, CONF_VERSION);
}

#define FILE_TEXT                                                                                            \
    "# a host\n\n  id = from-file  \r\ncapacity=5\nlabel = a=1\nlabel = b=2\nquiet = true\nlease = 3s"

static void a_file_sets_what_no_flag_sets(void **state)
{
    (void)state;
    write_file(FILE_TEXT, sizeof(FILE_TEXT) - 1);
    assert_int_equal(read_args("--capacity|9|--config|FILE"), 0);
    assert_string_equal(opt.id, "from-file");
    assert_int_equal(opt.capacity, 9);
    assert_int_equal(opt.labels.n, 2);
    assert_true(opt.quiet);
    assert_int_equal(opt.lease_ms, 3000);
}

static void a_label_flag_replaces_the_files_labels(void **state)
{
    (void)state;
    write_file(FILE_TEXT, sizeof(FILE_TEXT) - 1);
    assert_int_equal(read_args("--config|FILE|--label|c=3"), 0);
    assert_int_equal(opt.labels.n, 1);
    assert_string_equal(opt.labels.items[0].key, "c");
}

static void faults_in_a_file_are_named_by_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *at, *part;
    } cases[] = {
        {"# x\ncapacity = 0\n",      ":2: capacity = 0",                    "from 1 to 100000"},
        {"\n\nnonsense = 1\n",       ":3: there is no option \"nonsense\"", "--help"          },
        {"id\n",                     ":1: ",                                "\"name = value\""},
        {"= 3\n",                    ":1: there is no option \"\"",         "--help"          },
        {"config = x\n",             ":1: there is no option \"config\"",   "--help"          },
        {"id = a\nid = b\n",         ":2: id = b",                          "twice"           },
        {"label = a=1\nlabel = a=2", ":2: label = a=2",                     "already given"   },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_file(cases[i].text, strlen(cases[i].text));
        refused("--config|FILE", cases[i].at, cases[i].part);
    }
}

static void a_fault_in_the_file_counts_also_where_a_flag_wins(void **state)
{
    (void)state;
    write_file("capacity = many\n", 16);
    refused("--capacity|9|--config|FILE", ":1: capacity = many", "from 1 to 100000");
    write_file("id = ok\nlabel = a=1\n", 20);
    assert_int_equal(read_args("--id|x|--label|a=2|--config|FILE"), 0);
    assert_string_equal(opt.id, "x");
    assert_string_equal(opt.labels.items[0].value, "2");
}

static void a_file_that_is_missing_or_no_text_is_refused(void **state)
{
    (void)state;
    refused("--config|/nonexistent/x.conf", "/nonexistent/x.conf", "No such file");
    refused("--config|/tmp", "/tmp", "directory");
    write_file("id = a\0b\n", 9);
    refused("--config|FILE", path, "NUL");
    refused("--config|/dev/zero", "/dev/zero", "more than 65536 bytes");
}

static void the_help_names_every_option_with_its_range_and_default(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    conf_help(f, "hostd", "runs jobs", options, N);
    assert_int_equal(fclose(f), 0);
    for (size_t i = 0; i < N; i++)
        assert_non_null(strstr(text, options[i].name));
    assert_non_null(strstr(text, "1 to 100000, default 64"));
    assert_non_null(strstr(text, "200ms to 1h, default 10s"));
    assert_non_null(strstr(text, "text, json; default text"));
    assert_non_null(strstr(text, "--config FILE"));
    assert_non_null(strstr(text, "--version"));
    free(text);
    opt.id = NULL; /* not a heap copy: nothing was read */
}

static void addresses_are_host_and_port(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1:7420", "localhost:0", "[::1]:65535", "host.example:1"};
    static const char *const bad[] = {
        "",        "7420",     ":7420", "host",      "host:", "host:65536", "host:-1",
        "host:1x", "::1:7420", "[::1]", "[::1:7420", "[]:1",  "host: 1",    "host:99999999999999999999"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(conf_check_address("listen", good[i], &err), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(conf_check_address("listen", bad[i], &err), -FM_INVALID_ARGUMENT);
        assert_string_equal(err.field, "listen");
    }
    opt.id = NULL;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_given_leaves_the_defaults),
        TEST(flags_take_their_value_after_a_space_or_an_equals_sign),
        TEST(a_bool_can_be_switched_off),
        TEST(durations_have_units),
        TEST(bad_durations_are_refused_with_the_range),
        TEST(bad_numbers_are_refused_with_the_range),
        TEST(other_bad_values_are_refused_with_what_is_allowed),
        TEST(unknown_options_and_loose_words_are_refused),
        TEST(an_option_given_twice_is_refused),
        TEST(a_flag_without_its_value_is_refused),
        TEST(help_and_version_end_the_reading),
        TEST(a_file_sets_what_no_flag_sets),
        TEST(a_label_flag_replaces_the_files_labels),
        TEST(faults_in_a_file_are_named_by_file_and_line),
        TEST(a_fault_in_the_file_counts_also_where_a_flag_wins),
        TEST(a_file_that_is_missing_or_no_text_is_refused),
        TEST(the_help_names_every_option_with_its_range_and_default),
        TEST(addresses_are_host_and_port),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
