/* Lines of programs: what is understood, what is refused and by which name; and that scripts/exec-check, with
 * which people check their programs, judges each of them as hostd does. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "exec.h"
#include "exec_lines.h"
#include "fake_json.h"
#include "mem.h"

static struct fm_ctx fake, *ctx = &fake;

/* A line, and what is wrong with it (NULL: nothing). With two quotes for one: ' for ". */
static const struct {
    const char *line, *fault;
} lines[] = {
    {"{'emit':'a'}",                                                                                      NULL                                             },
    {"{'emit':'a','data':{'x':[1,null]},'id':'anything'}",                                                NULL                                             },
    {"{'emit':1}",                                                                                        "\"emit\" must be a string"                      },
    {"{'emit':'a','data':[1]}",                                                                           "\"data\" must be an object"                     },
    {"{'emit':'a','data':null}",                                                                          "\"data\" must be an object"                     },
    {"{'emit':'a','Data':{}}",                                                                            "the unknown key \"Data\" (did you mean data?)"  },
    {"{'defer':'a','data':{}}",                                                                           NULL                                             },
    {"{'enqueue':'in'}",                                                                                  NULL                                             },
    {"{'schedule':'in','ms':5,'key':'k','data':{}}",                                                      NULL                                             },
    {"{'schedule':'in'}",                                                                                 "needs the key \"ms\""                           },
    {"{'schedule':'in','ms':-1}",                                                                         "\"ms\" must be a whole number from 0"           },
    {"{'schedule':'in','ms':1.5}",                                                                        "\"ms\" must be a whole number from 0"           },
    {"{'schedule':'in','ms':'5'}",                                                                        "\"ms\" must be a whole number from 0"           },
    {"{'schedule':'in','ms':5,'after':1}",                                                                "may have id, ms, data, key"                     },
    {"{'unschedule':'k'}",                                                                                NULL                                             },
    {"{'pause':'Which?'}",                                                                                NULL                                             },
    {"{'pause':'Which?','slot':'answer','data':{},'choices':['a'],'timeout_ms':9,'default_answer':null}",
     NULL                                                                                                                                                  },
    {"{'pause':'Which?','answer_schema':{'type':'string'}}",                                              NULL                                             },
    {"{'pause':'Which?','choices':'a'}",                                                                  "\"choices\" must be a list"                     },
    {"{'pause':'Which?','timeout':9}",                                                                    "the unknown key \"timeout\""                    },
    {"{'set':'k','value':null}",                                                                          NULL                                             },
    {"{'set':'k','value':{'a':1},'shared':true}",                                                         NULL                                             },
    {"{'set':'k'}",                                                                                       "\"set\" needs the key \"value\""                },
    {"{'set':'k','vaule':1}",                                                                             "the unknown key \"vaule\" (did you mean value?)"},
    {"{'set':'k','value':1,'shared':'yes'}",                                                              "\"shared\" must be true or false"               },
    {"{'append':'k','value':1}",                                                                          NULL                                             },
    {"{'remove':'k','shared':false}",                                                                     NULL                                             },
    {"{'remove':'k','value':1}",                                                                          "the unknown key \"value\""                      },
    {"{'log':'m','data':{}}",                                                                             NULL                                             },
    {"{'progress':'half'}",                                                                               NULL                                             },
    {"{'usage':{'input_tokens':10,'output_tokens':5,'cached_tokens':0,'cost':0.25}}",                     NULL                                             },
    {"{'usage':{}}",                                                                                      NULL                                             },
    {"{'usage':{'tokens':10}}",                                                                           "\"usage\" has the unknown key \"tokens\""       },
    {"{'usage':{'input_tokens':1.5}}",                                                                    "\"usage.input_tokens\" must be a whole number"  },
    {"{'usage':{'input_tokens':-1}}",                                                                     "\"usage.input_tokens\" must be a whole number"  },
    {"{'usage':{'cost':-1}}",                                                                             "\"usage.cost\" must be a number from 0"         },
    {"{'usage':{'cost':'1'}}",                                                                            "\"usage.cost\" must be a number from 0"         },
    {"{'usage':5}",                                                                                       "\"usage\" must be an object"                    },
    {"{'start':'flow','routine':'r','slot':'s'}",                                                         NULL                                             },
    {"{'start':'flow','routine':'r','slot':'s','flow_version':2,'data':{},'shared_data':{},'result_slot':'x'"
     "}",                                                                                            NULL                                             },
    {"{'start':'flow','slot':'s'}",                                                                       "\"start\" needs the key \"routine\""            },
    {"{'start':'flow','routine':'r','slot':'s','version':2}",                                             "the unknown key \"version\""                    },
    {"{'start':{'flow':'f'}}",                                                                            "\"start\" must be a string"                     },
    {"{'fail':'m'}",                                                                                      "m"                                              },
    {"{'fail':'m','code':'NOT_FOUND','retryable':false,'retry_after_ms':5}",                              "m"                                              },
    {"{'fail':'m','code':'MISSING'}",                                                                     "the name of a gRPC status code"                 },
    {"{'fail':'m','code':5}",                                                                             "the name of a gRPC status code"                 },
    {"{'fail':'m','code':'OK'}",                                                                          "the name of a gRPC status code"                 },
    {"{'fail':'m','retryable':1}",                                                                        "\"retryable\" must be true or false"            },
    {"{'done':true}",                                                                                     NULL                                             },
    {"{'done':false}",                                                                                    "\"done\" must be true"                          },
    {"{'done':1}",                                                                                        "\"done\" must be true"                          },
    {"{'done':true,'emit':'a'}",                                                                          "it has two actions, "                           },
    {"{'set':'k','value':1,'log':'m'}",                                                                   "it has two actions, "                           },
    {"{'emti':'a'}",                                                                                      "it has none of the keys emit"                   },
    {"{}",                                                                                                "it has none of the keys emit"                   },
    {"{'id':'a'}",                                                                                        "it has none of the keys emit"                   },
    {"{'log':'m','id':5}",                                                                                "\"id\" must be a string"                        },
    {"[]",                                                                                                "must be a JSON object"                          },
    {"'text'",                                                                                            "must be a JSON object"                          },
    {"{'log':'m'",                                                                                        ""                                               },
    {"{'log':NaN}",                                                                                       ""                                               },
    {"{'log':'m'} {'log':'m'}",                                                                           ""                                               },
    {"no json",                                                                                           ""                                               },
    {"{'log':'\xff'}",                                                                                    ""                                               },
};
#define N (sizeof(lines) / sizeof(lines[0]))

static char *json_of(size_t i)
{
    char *line = fm_xstrdup(lines[i].line);
    for (char *c = line; *c != '\0'; c++)
        *c = *c == '\'' ? '"' : *c;
    return line;
}

static bool is_failure(size_t i)
{
    return strncmp(lines[i].line, "{'fail':", 8) == 0 && lines[i].fault != NULL &&
           strcmp(lines[i].fault, "m") == 0;
}

static void each_line_is_understood_as_a_whole_or_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < N; i++) {
        struct exec_run r = {0};
        fm_autofree char *line = json_of(i);
        fake_init(ctx, &exec_type);
        int rc = exec_line(ctx, &r, line, strlen(line));
        if ((rc < 0) != (lines[i].fault != NULL) || (rc < 0 && strstr(ctx->failure, lines[i].fault) == NULL))
            fail_msg("%s: %s", line, ctx->failure);
        if (rc < 0 && !is_failure(i)) {
            assert_true(ctx->permanent);
            assert_non_null(strstr(ctx->failure, "line 1 of the program's output: "));
        }
        fake_done(ctx);
    }
}

static void the_tool_for_programs_judges_as_hostd_does(void **state)
{
    (void)state;
    char path[64], command[400], verdict[600];
    snprintf(path, sizeof(path), "/tmp/test_exec_lines.%d", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (size_t i = 0; i < N; i++) {
        fm_autofree char *line = json_of(i);
        fprintf(f, "%s\n", line);
    }
    assert_int_equal(fclose(f), 0);
    snprintf(command, sizeof(command), "/usr/bin/python3 %s/scripts/exec-check --lines < %s",
             getenv("SOURCE_DIR"), path);
    f = popen(command, "r");
    assert_non_null(f);
    for (size_t i = 0; i < N; i++) {
        assert_non_null(fgets(verdict, sizeof(verdict), f));
        if ((strcmp(verdict, "ok\n") == 0) != (lines[i].fault == NULL || is_failure(i)))
            fail_msg("%s: exec-check says %s", lines[i].line, verdict);
    }
    assert_null(fgets(verdict, sizeof(verdict), f));
    assert_int_equal(WEXITSTATUS(pclose(f)), 1);
    (void)unlink(path);
}

static void usage_and_jobs_become_part_of_the_step(void **state)
{
    (void)state;
    static const char used[] = "{\"usage\":{\"input_tokens\":10,\"output_tokens\":5,\"cached_tokens\":2}}",
                      starts[] = "{\"start\":\"f\",\"flow_version\":3,\"routine\":\"r\",\"slot\":\"s\","
                                 "\"data\":{\"a\":1}}",
                      fails[] = "{\"fail\":\"no\"}";
    struct exec_run r = {0};
    fake_init(ctx, &exec_type);
    assert_int_equal(exec_line(ctx, &r, used, strlen(used)), 0);
    assert_int_equal(exec_line(ctx, &r, used, strlen(used)), 0);
    assert_int_equal(exec_line(ctx, &r, starts, strlen(starts)), 0);
    assert_int_equal(ctx->n_children, 1);
    assert_string_equal(ctx->child.flow, "f");
    assert_int_equal(ctx->child.flow_version, 3);
    assert_string_equal(ctx->child.result_slot, "result");
    assert_int_equal(exec_line(ctx, &r, fails, strlen(fails)), -1);
    assert_int_equal(ctx->input_tokens, 20); /* used is used */
    assert_int_equal(ctx->output_tokens, 10);
    assert_int_equal(ctx->cached_tokens, 4);
    fake_done(ctx);
}

static void in_mode_serve_each_line_has_the_id_of_the_task(void **state)
{
    (void)state;
    static const struct {
        const char *line, *fault;
    } served[] = {
        {"{\"id\":\"t\",\"log\":\"m\"}", NULL                            },
        {"{\"log\":\"m\"}",              "it must have the task's \"id\""},
        {"{\"id\":7,\"log\":\"m\"}",     "it must have the task's \"id\""},
        {"{\"id\":\"u\",\"log\":\"m\"}", "has the id of another task (u)"},
    };
    for (size_t i = 0; i < 4; i++) {
        struct exec_run r = {.id = "t"};
        fake_init(ctx, &exec_type);
        int rc = exec_line(ctx, &r, served[i].line, strlen(served[i].line));
        assert_int_equal(rc, served[i].fault == NULL ? 0 : -1);
        if (rc < 0)
            assert_non_null(strstr(ctx->failure, served[i].fault));
        fake_done(ctx);
    }
    struct exec_run r = {.id = "t"};
    static const char done[] = "{\"id\":\"t\",\"done\":true}";
    fake_init(ctx, &exec_type);
    assert_int_equal(exec_line(ctx, &r, done, strlen(done)), 1);
    fake_done(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_understood_as_a_whole_or_refused_by_name),
        cmocka_unit_test(the_tool_for_programs_judges_as_hostd_does),
        cmocka_unit_test(usage_and_jobs_become_part_of_the_step),
        cmocka_unit_test(in_mode_serve_each_line_has_the_id_of_the_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
