/* grpcurl. See grpcurl.h. */
#define _GNU_SOURCE
#include "grpcurl.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "certs.h"
#include "json_text.h"
#include "proc.h"

const char *grpcurl_program(void)
{
    static char path[512];
    const char *source = getenv("SOURCE_DIR");
    if (path[0] == '\0') {
        snprintf(path, sizeof(path), "%s/build/tools/grpcurl", source == NULL ? "." : source);
        FILE *f = fopen(path, "r");
        if (f != NULL)
            fclose(f);
        else
            snprintf(path, sizeof(path), "grpcurl");
    }
    return path;
}

static void full_name(const char *method, char out[128])
{
    snprintf(out, 128, "%s%s", strchr(method, '.') != NULL ? "" : "fermata.v1.", method);
}

/* Its own limit, of 10 s for a connection, is too short beside other work. In seconds. */
static const char *patience(void)
{
    static char seconds[16];
    snprintf(seconds, sizeof(seconds), "%d", DEADLINE_MS / 1000);
    return seconds;
}

/* How it connects: argv from n on; returns the next place. */
static size_t put_way(const char **argv, size_t n)
{
    const char *tls[] = {"-cacert", certs_file("ca.pem"),      "-cert", certs_file("user-ann.pem"),
                         "-key",    certs_file("user-ann.key")};
    if (!certs_wanted()) {
        argv[n++] = "-plaintext";
        return n;
    }
    for (size_t i = 0; i < sizeof(tls) / sizeof(tls[0]); i++)
        argv[n++] = tls[i];
    return n;
}

const char *grpcurl_way(void)
{
    static char words[1024];
    const char *argv[8];
    size_t n = put_way(argv, 0);
    words[0] = '\0';
    for (size_t i = 0, at = 0; i < n; i++)
        at += (size_t)snprintf(words + at, sizeof(words) - at, "%s ", argv[i]);
    return words;
}

static int call(const char *address, const char *method, const char *request, char **out, char **err)
{
    char full[128];
    full_name(method, full);
    const char *argv[20] = {grpcurl_program(), "-connect-timeout", patience(), "-max-time", patience()};
    size_t n = put_way(argv, 5);
    argv[n++] = "-d";
    argv[n++] = "@";
    argv[n++] = address;
    argv[n] = full;
    return proc_run(argv, request, out, err);
}

/* Several responses stand one behind the other. */
static json_t *parse_all(const char *text)
{
    json_t *all = json_array();
    json_error_t e;
    while (*text != '\0') {
        json_t *j = json_loads(text, JSON_DISABLE_EOF_CHECK, &e);
        if (j == NULL && json_error_code(&e) == json_error_numeric_overflow) /* a double beyond int64 */
            j = json_loads(text, JSON_DISABLE_EOF_CHECK | JSON_DECODE_INT_AS_REAL, &e);
        if (j == NULL)
            fail_msg("%s: %s", e.text, text);
        json_array_append_new(all, j);
        text += e.position;
        while (*text == '\n' || *text == ' ')
            text++;
    }
    return all;
}

json_t *rpc(const char *address, const char *method, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *request = json_vformat(fmt, ap), *out, *err;
    va_end(ap);
    int code = call(address, method, request, &out, &err);
    if (code != 0)
        fail_msg("%s %s: %s", method, request, err);
    json_t *all = parse_all(out), *first = json_incref(json_array_get(all, 0));
    json_decref(all);
    free(request);
    free(out);
    free(err);
    return first;
}

json_t *rpc_stream_all(const char *address, const char *method, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *request = json_vformat(fmt, ap), *out, *err;
    va_end(ap);
    int code = call(address, method, request, &out, &err);
    if (code != 0)
        fail_msg("%s %s: %s", method, request, err);
    json_t *all = parse_all(out);
    free(request);
    free(out);
    free(err);
    return all;
}

char *rpc_fails(const char *address, const char *method, const char *want, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *request = json_vformat(fmt, ap), *out, *err, line[64];
    va_end(ap);
    int code = call(address, method, request, &out, &err);
    snprintf(line, sizeof(line), "Code: %s\n", want);
    if (code == 0)
        fail_msg("%s %s should have failed, but: %s", method, request, out);
    if (strstr(err, line) == NULL)
        fail_msg("%s %s: %s wanted, but: %s", method, request, want, err);
    free(request);
    free(out);
    return err;
}

void rpc_start(struct proc *p, const char *err_file, const char *address, const char *method, const char *fmt,
               ...)
{
    va_list ap;
    char full[128];
    va_start(ap, fmt);
    char *request = json_vformat(fmt, ap);
    va_end(ap);
    full_name(method, full);
    const char *argv[20] = {grpcurl_program(), "-connect-timeout", patience()};
    size_t n = put_way(argv, 3);
    argv[n++] = "-d";
    argv[n++] = request;
    argv[n++] = address;
    argv[n] = full;
    proc_talk(p, err_file, argv);
    free(request);
}

void rpc_talk(struct proc *p, const char *err_file, const char *address, const char *method)
{
    char full[128];
    full_name(method, full);
    const char *argv[20] = {grpcurl_program(), "-connect-timeout", patience()};
    size_t n = put_way(argv, 3);
    argv[n++] = "-d";
    argv[n++] = "@";
    argv[n++] = address;
    argv[n] = full;
    proc_talk(p, err_file, argv);
}

void rpc_say(struct proc *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *message = json_vformat(fmt, ap);
    va_end(ap);
    proc_say(p, message);
    proc_say(p, "\n");
    free(message);
}

void rpc_hear(struct proc *p, const char *text)
{
    char *json = json_text(text);
    proc_hear(p, json);
    free(json);
}

char *grpcurl(const char *const args[])
{
    const char *argv[32] = {grpcurl_program(), "-connect-timeout", patience()};
    char *out, *err;
    for (size_t i = 0; args[i] != NULL; i++)
        argv[i + 3] = args[i];
    int code = proc_run(argv, NULL, &out, &err);
    if (code != 0)
        fail_msg("grpcurl: %s", err);
    free(err);
    return out;
}

json_t *json_at(json_t *j, const char *path)
{
    char key[128];
    while (j != NULL && *path != '\0') {
        if (*path == '[') {
            j = json_array_get(j, strtoul(path + 1, NULL, 10));
            path = strchr(path, ']') + 1;
        } else {
            size_t n = strcspn(path, ".[");
            snprintf(key, sizeof(key), "%.*s", (int)n, path);
            j = json_object_get(j, key);
            path += n;
        }
        if (*path == '.')
            path++;
    }
    return j;
}

const char *at(json_t *j, const char *path)
{
    static char numbers[4][32];
    static unsigned next;
    json_t *v = json_at(j, path);
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_true(v))
        return "true";
    if (!json_is_number(v))
        return "";
    char *s = numbers[next++ % 4];
    snprintf(s, sizeof(numbers[0]), "%.15g", json_number_value(v));
    return s;
}
