/* Flows as graphs, compared with the whole text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "from_json.h"
#include "graph.h"

static struct fm_buf out;

static int setup(void **state)
{
    (void)state;
    from_json_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fm_buf_done(&out);
    from_json_end();
    return 0;
}

static const char *dot(const char *quoted)
{
    fm_buf_reset(&out);
    flow_graph_dot(from_json(&fermata__v1__flow__descriptor, quoted), &out);
    return (const char *)out.p;
}

static const char *mermaid(const char *quoted)
{
    fm_buf_reset(&out);
    flow_graph_mermaid(from_json(&fermata__v1__flow__descriptor, quoted), &out);
    return (const char *)out.p;
}

#define REVIEW                                                                                               \
    "{'name':'review','routines':[{'id':'write','type':'llm_agent'},{'id':'end','type':'human',"             \
    "'merge':[{'slot':'input','mode':'MERGE_MODE_N_OF_M','n':2}]}],'connections':["                          \
    "{'from':{'routine':'write','event':'output'},'to':{'routine':'end','slot':'input'},"                    \
    "'mapping':{'text':'question'},'constants':{'urgent':true,'to':[1]},'filter':{'kind':'draft','n':1.5}}," \
    "{'from':{'routine':'end','event':'output'},'to':{'routine':'write','slot':'continue'}}]}"

static void a_flow_is_written_in_dot(void **state)
{
    (void)state;
    assert_string_equal(dot(REVIEW),
                        "digraph \"review\" {\n"
                        "  rankdir=LR;\n"
                        "  node [shape=box, style=rounded];\n"
                        "  \"write\" [label=\"write\\nllm_agent\"];\n"
                        "  \"end\" [label=\"end\\nhuman\\ninput: n of m (2)\"];\n"
                        "  \"write\" -> \"end\" [label=\"output → input\\nif kind = \\\"draft\\\"\\n"
                        "if n = 1.5\\ntext as question\\nwith urgent = true\\nwith to = […]\"];\n"
                        "  \"end\" -> \"write\" [label=\"output → continue\"];\n"
                        "}\n");
}

static void a_flow_is_written_in_mermaid(void **state)
{
    (void)state;
    assert_string_equal(mermaid(REVIEW),
                        "flowchart LR\n"
                        "  r0[\"write<br/>llm_agent\"]\n"
                        "  r1[\"end<br/>human<br/>input: n of m (2)\"]\n"
                        "  r0 -- \"output → input<br/>if kind = #quot;draft#quot;<br/>if n = 1.5<br/>"
                        "text as question<br/>with urgent = true<br/>with to = […]\" --> r1\n"
                        "  r1 -- \"output → continue\" --> r0\n");
}

/* Slots and events of types that nobody knows may have any characters. */
static void characters_that_mean_something_are_escaped(void **state)
{
    (void)state;
    static const char flow[] =
        "{'name':'f','routines':[{'id':'a','type':'t'}],'connections':[{'from':{'routine':"
        "'a','event':'x\"] -> b\\\\'},'to':{'routine':'a','slot':'<b>#1 & `c`\\n}'}}]}";
    assert_non_null(strstr(dot(flow), "\"a\" -> \"a\" [label=\"x\\\"] -> b\\\\ → <b>#1 & `c` }\"];\n"));
    assert_non_null(
        strstr(mermaid(flow), "r0 -- \"x#quot;] -#gt; b\\ → #lt;b#gt;#35;1 #amp; #96;c#96; }\" --> r0\n"));
}

static void long_names_are_cut_between_characters_in_labels_only(void **state)
{
    (void)state;
    char id[129], event[200] = "x", flow[1024], want[256];
    memset(id, 'i', 128);
    id[128] = '\0';
    for (int i = 0; i < 40; i++)
        strcat(event, "ö");
    snprintf(flow, sizeof(flow),
             "{'name':'f','routines':[{'id':'%s','type':'t'}],'connections':[{'from':{'routine':'%s','event':"
             "'%s'},"
             "'to':{'routine':'%s','slot':'s'}}]}",
             id, id, event, id);
    snprintf(want, sizeof(want), "  \"%s\" [label=\"%.64s…\\nt\"];\n", id, id);
    assert_non_null(strstr(dot(flow), want));
    snprintf(want, sizeof(want), "[label=\"%.63s… → s\"]", event); /* 64 would be half an ö */
    assert_non_null(strstr(dot(flow), want));
}

static void many_names_of_a_connection_are_cut(void **state)
{
    (void)state;
    const char *text =
        dot("{'name':'f','routines':[{'id':'a','type':'t'}],'connections':[{'from':{'routine':'a',"
            "'event':'e'},'to':{'routine':'a','slot':'s'},'mapping':{'a':'1','b':'2','c':'3',"
            "'d':'4','e':'5','f':'6','g':'7','h':'8','i':'9'},'constants':{'x':null,'y':{}}}]}");
    assert_non_null(strstr(text, "h as 8\\n…\\nwith x = null\\nwith y = {…}\""));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_flow_is_written_in_dot),
        TEST(a_flow_is_written_in_mermaid),
        TEST(characters_that_mean_something_are_escaped),
        TEST(long_names_are_cut_between_characters_in_labels_only),
        TEST(many_names_of_a_connection_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
