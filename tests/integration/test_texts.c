/* Texts from outside that are not UTF-8, or are too long: failures keep their codes, so they are tried again,
 * over real sockets and with real programs. */
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

/* The first request at each path fails as the path says; the next ones are answered. */
static const char program[] =
    "import http.server, json, os, signal\n"
    "zh = '模型服务暂时不可用，请稍后重试。' * 12\n"
    "replies = {'latin': (503, 'Dienst überlastet'.encode('latin1'), 'text/html; charset=iso-8859-1'),\n"
    " 'gbk': (429, '请求过多'.encode('gbk'), 'text/plain'),\n"
    " 'long': (503, json.dumps({'error': {'message': zh}}, ensure_ascii=False).encode(), "
    "'application/json'),\n"
    " 'event': (200, ('data: ' + json.dumps({'error': {'message': zh}}, ensure_ascii=False) + "
    "'\\n\\n').encode(), "
    "'text/event-stream')}\n"
    "good = {'id': 'x', 'choices': [{'index': 0, 'message': {'role': 'assistant', 'content': 'done'},"
    " 'finish_reason': 'stop'}], 'usage': {'prompt_tokens': 1, 'completion_tokens': 1, 'total_tokens': 2}}\n"
    "seen = set()\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    " protocol_version = 'HTTP/1.1'\n"
    " def log_message(self, *_): pass\n"
    " def do_POST(self):\n"
    "  self.rfile.read(int(self.headers['Content-Length']))\n"
    "  kind = self.path.split('/')[1]\n"
    "  reply = (200, json.dumps(good).encode(), 'application/json') if self.path in seen else replies[kind]\n"
    "  seen.add(self.path)\n"
    "  self.send_response(reply[0])\n"
    "  self.send_header('Content-Type', reply[2])\n"
    "  self.send_header('Content-Length', str(len(reply[1])))\n"
    "  self.end_headers()\n"
    "  self.wfile.write(reply[1])\n"
    "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n"
    "s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)\n"
    "print('listening on', s.server_port, flush=True)\n"
    "s.serve_forever()\n";

static struct cluster c;
static struct proc server;
static int port;

static int start(void **state)
{
    (void)state;
    char log[256];
    cluster_start(&c, 1);
    snprintf(log, sizeof(log), "%s/texts.log", c.dir);
    const char *argv[] = {"/usr/bin/python3", "-c", program, NULL};
    proc_start(&server, log, argv);
    port = atoi(server.line + strlen("listening on "));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    proc_stop(&server);
    cluster_done(&c);
    return 0;
}

#define RETRY "'policy':{'retry':{'max_attempts':3,'initial_delay_ms':20}}"

/* A failure of a model's server is tried again; the history says why, in valid text. */
static void is_tried_again(const char *path, const char *code, const char *said)
{
    json_t *r = rpc(
        c.address, "Jobs/SubmitJob",
        "{'inline_flow':{'routines':[{'id':'a','type':'llm_agent'," RETRY ",'config':{'provider':'openai',"
        "'model':'m','base_url':'http://127.0.0.1:%d/%s','stream':%s,'limits':{'max_turns':3}}}]},"
        "'entry':{'routine':'a','slot':'trigger'},'data':{'task':'Go.'}}",
        port, path, strcmp(path, "event") == 0 ? "true" : "false");
    json_decref(wait_status(&c, at(r, "jobId"), "COMPLETED"));
    json_t *h = rpc(c.address, "Jobs/GetHistory", "{'job_id':'%s'}", at(r, "jobId"));
    assert_string_equal(at(h, "steps[0].error.code"), code);
    if (strstr(at(h, "steps[0].error.message"), said) == NULL)
        fail_msg("%s does not say %s", at(h, "steps[0].error.message"), said);
    json_decref(h);
    json_decref(r);
}

static void failures_of_a_model_keep_their_code_whatever_their_text_is(void **state)
{
    (void)state;
    is_tried_again("latin", "UNAVAILABLE", "Dienst ?berlastet");
    is_tried_again("gbk", "RESOURCE_EXHAUSTED", "?");
    is_tried_again("long", "UNAVAILABLE", "模型服务暂时不可用");
    is_tried_again("event", "UNAVAILABLE", "模型服务暂时不可用");
}

/* The job of this routine fails after three attempts. */
static void fails_three_times(const char *routine, const char *code, const char *said)
{
    const char *job = submit_flow(&c, "{}", "{'routines':[{'id':'a'," RETRY ",%s}]}", routine);
    json_t *j = wait_status(&c, job, "FAILED");
    assert_string_equal(at(j, "job.stepCount"), "3");
    assert_string_equal(at(j, "job.error.code"), code);
    if (strstr(at(j, "job.error.message"), said) == NULL)
        fail_msg("%s does not say %s", at(j, "job.error.message"), said);
    json_decref(j);
}

static void failures_of_programs_keep_their_code_whatever_their_text_is(void **state)
{
    (void)state;
    fails_three_times("'type':'exec','config':{'command':['/usr/bin/python3','-c','import sys; "
                      "sys.stderr.buffer.write(b\"nicht verf\\\\xfcgbar\\\\n\"); sys.exit(75)']}",
                      "UNAVAILABLE", "nicht verf?gbar");
    fails_three_times(
        "'type':'exec','config':{'command':['/usr/bin/python3','-c','import json; "
        "print(json.dumps({\"fail\":\"日本\"*300,\"code\":\"UNAVAILABLE\"}, ensure_ascii=False))']}",
        "UNAVAILABLE", "日本日本");
    fails_three_times(
        "'type':'exec','config':{'command':['/usr/bin/python3','-c','import json; "
        "print(json.dumps({\"fail\":\"x\"+\"日\"*300,\"code\":\"UNAVAILABLE\"}, ensure_ascii=False))']}",
        "UNAVAILABLE", "x日日");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_of_a_model_keep_their_code_whatever_their_text_is),
        cmocka_unit_test(failures_of_programs_keep_their_code_whatever_their_text_is),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
