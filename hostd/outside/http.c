/* HTTP requests. See http.h. libcurl says which sockets it waits for and until when; libuv
 * waits. */
#define _GNU_SOURCE
#include "http.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <uthash.h>
#include <utlist.h>

#include "clock.h"
#include "http_field.h"
#include "log.h"
#include "mem.h"
#include "outside_events.h"
#include "secrets.h"

#define CONNECT_TIMEOUT_MS 10000
#define FIRST_BYTE_TIMEOUT_MS 60000
#define TIMEOUT_MS 600000
#define MAX_RESPONSE_BYTES (8u * 1024 * 1024)
#define MAX_HEADER_BYTES 65536
#define KEPT_CONNECTIONS 64

struct http {
    uv_loop_t *loop;
    const struct outside_events *events;
    const struct secrets *secrets;
    const char *ca_file;
    CURLM *multi;
    uv_timer_t timer, sweep; /* libcurl's; to free what was cancelled */
    struct request *table;
    struct request *ended; /* to be told or freed when libcurl has returned */
    bool stopping;
};

struct request {
    UT_hash_handle hh;
    struct request *prev, *next; /* among the ended */
    uint64_t id;
    struct http *http;
    CURL *easy; /* NULL: it could not be made */
    struct curl_slist *headers;
    struct fm_buf body, used, response, response_headers;
    size_t max_response;
    size_t received; /* bytes of the body in all */
    size_t told;     /* bytes of `response` that the handler was told of */
    int64_t started_us;
    uv_timer_t first_byte; /* until then, and after it between two pieces; started when there is a limit */
    uint64_t idle_ms;
    bool redacted; /* a secret of it came back */
    bool cancelled, is_ended, too_large, refused, no_first_byte, idled, got_first;
    CURLcode code;
    char error[512]; /* at least CURL_ERROR_SIZE */
};

/* A socket that libcurl waits for. */
struct watch {
    uv_poll_t poll;
    curl_socket_t fd;
    struct http *http;
};

/* ---- what became of a request ---- */

static void on_first_byte_closed(uv_handle_t *h)
{
    free(h->data);
}

static void request_free(struct request *r)
{
    if (r->easy != NULL) {
        (void)curl_multi_remove_handle(r->http->multi, r->easy);
        curl_easy_cleanup(r->easy);
    }
    curl_slist_free_all(r->headers);
    if (r->used.n > 0)
        explicit_bzero(r->used.p, r->used.n);
    fm_buf_done(&r->body);
    fm_buf_done(&r->used);
    fm_buf_done(&r->response);
    fm_buf_done(&r->response_headers);
    uv_close((uv_handle_t *)&r->first_byte, on_first_byte_closed);
}

static void set_ended(struct request *r)
{
    if (r->is_ended)
        return;
    r->is_ended = true;
    HASH_DEL(r->http->table, r);
    DL_APPEND(r->http->ended, r);
}

/* The server is not the one that was meant, as far as its certificate tells: that does not pass by
 * itself. */
static bool is_untrusted(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_ISSUER_ERROR;
}

static void describe(struct request *r, struct fm_http_response *out)
{
    long status = 0;
    const char *text = r->error[0] != '\0' ? r->error : curl_easy_strerror(r->code);
    if (r->easy != NULL)
        (void)curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    bool whole = r->code == CURLE_OK && !r->too_large && !r->refused;
    if (r->too_large)
        snprintf(r->error, sizeof(r->error), "the response has more than %zu bytes", r->max_response);
    else if (r->no_first_byte)
        snprintf(r->error, sizeof(r->error), "the response did not begin in time");
    else if (r->idled)
        snprintf(r->error, sizeof(r->error), "nothing came for %llu ms", (unsigned long long)r->idle_ms);
    else if (!whole && r->error[0] == '\0')
        snprintf(r->error, sizeof(r->error), "%s", text);
    (void)secrets_redact(&r->used, r->error, strlen(r->error));
    r->redacted = secrets_redact(&r->used, (char *)r->response.p, r->response.n) || r->redacted;
    (void)secrets_redact(&r->used, (char *)r->response_headers.p, r->response_headers.n);
    fm_buf_append(&r->response, "", 1);
    fm_buf_append(&r->response_headers, "", 1);
    *out = (struct fm_http_response){.status = whole ? (int)status : 0,
                                     .error = whole ? "" : r->error,
                                     .timed_out =
                                         r->no_first_byte || r->idled || r->code == CURLE_OPERATION_TIMEDOUT,
                                     .too_large = r->too_large,
                                     .refused = r->refused || is_untrusted(r->code),
                                     .redacted = r->redacted,
                                     .headers = (const char *)r->response_headers.p,
                                     .body = (const char *)r->response.p,
                                     .body_bytes = r->response.n - 1,
                                     .duration_ms = (uint64_t)(fm_now_mono_us() - r->started_us) / 1000};
}

/* Which of the bytes that have come: those at the end that may be the beginning of a secret are
 * kept back until the response is whole. */
enum told { BUT_SECRETS, ALL };

/* Tells of the bytes that have come. False: the handler wants no more. */
static bool tell_data(struct request *r, enum told which)
{
    char *fresh = (char *)r->response.p + r->told;
    size_t n = r->response.n - r->told;
    r->redacted = secrets_redact(&r->used, fresh, n) || r->redacted;
    if (which == BUT_SECRETS)
        n -= secrets_tail(&r->used, fresh, n);
    if (n == 0)
        return true;
    int rc = r->http->events->data(r->http->events->arg, r->id, (struct fm_bytes){(uint8_t *)fresh, n});
    if (rc < 0)
        snprintf(r->error, sizeof(r->error), "the response was refused");
    if (rc == 1) {
        memmove(fresh, fresh + n, r->response.n - r->told - n);
        r->response.n -= n;
    } else {
        r->told += n;
    }
    return rc >= 0;
}

/* Tells of the requests that have ended; libcurl is not at work now. */
static void tell_ended(struct http *h)
{
    while (h->ended != NULL) {
        struct request *r = h->ended;
        DL_DELETE(h->ended, r);
        if (!r->cancelled && !h->stopping) {
            struct fm_http_response response;
            if (r->code == CURLE_OK && !r->refused && !tell_data(r, ALL))
                r->code = CURLE_WRITE_ERROR;
            describe(r, &response);
            FM_LOG(DEBUG, LLM, "HTTP request ended", FM_I64("status", response.status),
                   FM_U64("ms", response.duration_ms), FM_STR("error", response.error));
            h->events->done(h->events->arg, r->id, &response);
        }
        request_free(r);
    }
}

/* Takes the requests that libcurl has ended. */
static void take_ended(struct http *h)
{
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
        struct request *r = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&r);
        r->code = code;
        set_ended(r);
    }
    tell_ended(h);
}

/* ---- libcurl on libuv ---- */

static void on_timer(uv_timer_t *t)
{
    struct http *h = t->data;
    int running;
    (void)curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    take_ended(h);
}

static int set_timer(CURLM *multi, long ms, void *user)
{
    struct http *h = user;
    (void)multi;
    if (h->stopping)
        return 0;
    if (ms < 0) {
        (void)uv_timer_stop(&h->timer);
    } else {
        uv_update_time(h->loop);
        (void)uv_timer_start(&h->timer, on_timer, ms == 0 ? 1 : (uint64_t)ms, 0);
    }
    return 0;
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    struct http *h = w->http;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0, running;
    if ((events & UV_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    (void)curl_multi_socket_action(h->multi, w->fd, flags, &running);
    take_ended(h);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    struct http *h = user;
    struct watch *w = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) {
            (void)curl_multi_assign(h->multi, fd, NULL);
            (void)uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        }
        return 0;
    }
    if (w == NULL) {
        w = fm_xcalloc(1, sizeof(*w));
        w->fd = fd;
        w->http = h;
        if (uv_poll_init_socket(h->loop, &w->poll, fd) < 0) {
            free(w);
            return -1;
        }
        w->poll.data = w;
        (void)curl_multi_assign(h->multi, fd, w);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_socket);
}

/* ---- what comes ---- */

static void on_no_piece(uv_timer_t *t);

/* A piece has come: the time until the next one begins. */
static void wait_for_next(struct request *r)
{
    if (r->idle_ms == 0)
        return;
    uv_update_time(r->http->loop);
    (void)uv_timer_start(&r->first_byte, on_no_piece, r->idle_ms, 0);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    struct request *r = user;
    (void)size;
    if (r->cancelled)
        return 0;
    if (r->received + n > r->max_response) {
        r->too_large = true;
        return 0;
    }
    r->received += n;
    wait_for_next(r);
    fm_buf_append(&r->response, bytes, n);
    return tell_data(r, BUT_SECRETS) ? n : 0;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *user)
{
    struct request *r = user;
    (void)size;
    if (!r->got_first)
        (void)uv_timer_stop(&r->first_byte);
    r->got_first = true;
    wait_for_next(r);
    if (n > 5 && strncmp(bytes, "HTTP/", 5) == 0)
        fm_buf_reset(&r->response_headers); /* of a 100 Continue, or of the proxy, there were others before */
    const char *colon = memchr(bytes, ':', n);
    if (colon == NULL || r->response_headers.n + n > MAX_HEADER_BYTES)
        return n;
    size_t name = (size_t)(colon - bytes), end = n;
    while (end > name && (bytes[end - 1] == '\r' || bytes[end - 1] == '\n'))
        end--;
    size_t at = r->response_headers.n;
    fm_buf_append(&r->response_headers, bytes, end);
    fm_buf_append(&r->response_headers, "\n", 1);
    for (size_t i = 0; i < name; i++)
        r->response_headers.p[at + i] = (uint8_t)tolower(r->response_headers.p[at + i]);
    return n;
}

static void time_is_over(struct request *r)
{
    struct http *h = r->http;
    r->code = CURLE_OPERATION_TIMEDOUT;
    set_ended(r);
    tell_ended(h);
}

static void on_no_first_byte(uv_timer_t *t)
{
    struct request *r = t->data;
    r->no_first_byte = true;
    time_is_over(r);
}

static void on_no_piece(uv_timer_t *t)
{
    struct request *r = t->data;
    r->idled = true;
    time_is_over(r);
}

/* ---- starting ---- */

/* Refuses before anything is sent. */
static void refuse(struct request *r, const char *why)
{
    snprintf(r->error, sizeof(r->error), "%.500s", why);
    r->refused = true;
}

static void add_header(struct request *r, const char *line)
{
    struct curl_slist *more = curl_slist_append(r->headers, line);
    if (more != NULL)
        r->headers = more;
}

/* A header "name: value" as its owner wrote it, with references to secrets, and as it is sent. Says no
 * more of it than its name. */
static void check_header(struct request *r, const char *written, const char *line, size_t n)
{
    const char *colon = strchr(written, ':'), *value = strchr(line, ':');
    size_t name = colon == NULL ? 0 : (size_t)(colon - written);
    if (colon == NULL || value == NULL) {
        refuse(r, "a header has no colon after its name");
        return;
    }
    value++;
    const char *why = fm_http_name_fault(written, name);
    if (why == NULL)
        why = fm_http_value_fault(value, n - (size_t)(value - line));
    if (why == NULL)
        return;
    char text[250];
    (void)snprintf(text, sizeof(text), "the header %.*s %s", (int)(name < 100 ? name : 100), written, why);
    refuse(r, text);
}

/* libcurl takes a header without a value for one to be left out, unless it ends so. */
static void end_empty(char *line)
{
    char *colon = strchr(line, ':');
    if (colon[1 + strspn(colon + 1, " \t")] == '\0')
        memcpy(colon, ";", 2);
}

static void add_headers(struct request *r, const struct fm_http_request *q)
{
    bool expects = false;
    for (size_t i = 0; i < q->n_headers && !r->refused; i++) {
        fm_auto(fm_buf) line = {0};
        fm_auto(fm_err) err = {0};
        if (secrets_expand(r->http->secrets, q->headers[i], q->url, &line, &r->used, &err) < 0)
            refuse(r, err.msg);
        fm_buf_append(&line, "", 1);
        if (!r->refused)
            check_header(r, q->headers[i], (const char *)line.p, line.n - 1);
        if (!r->refused) {
            end_empty((char *)line.p);
            add_header(r, (const char *)line.p);
        }
        expects = expects || strncasecmp(q->headers[i], "Expect:", 7) == 0;
        explicit_bzero(line.p, line.n);
    }
    if (!expects)
        add_header(r, "Expect:"); /* libcurl would wait a second for a "100 Continue" before a large body */
}

static void set_options(struct request *r, const struct fm_http_request *q)
{
    CURL *e = r->easy;
    const char *method = q->method != NULL ? q->method : q->body != NULL ? "POST" : "GET";
    int ok = 0;
#define SET(option, value) ok |= (int)curl_easy_setopt(e, option, value)
    SET(CURLOPT_URL, q->url);
    SET(CURLOPT_FOLLOWLOCATION, 0L); /* a secret must not follow to another origin */
    SET(CURLOPT_PATH_AS_IS, 1L);     /* "/api/../admin" is not what somebody checked as "/api/…" */
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PRIVATE, (char *)r);
    SET(CURLOPT_ERRORBUFFER, r->error);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, r);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, r);
    SET(CURLOPT_HTTPHEADER, r->headers);
    SET(CURLOPT_ACCEPT_ENCODING, "");
    SET(CURLOPT_USERAGENT, "fermata/" FERMATA_VERSION);
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        (long)(q->connect_timeout_ms > 0 ? q->connect_timeout_ms : CONNECT_TIMEOUT_MS));
    SET(CURLOPT_TIMEOUT_MS, (long)(q->timeout_ms > 0 ? q->timeout_ms : TIMEOUT_MS));
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    if (r->http->ca_file != NULL)
        SET(CURLOPT_CAINFO, r->http->ca_file);
    if (strcmp(method, "HEAD") == 0)
        SET(CURLOPT_NOBODY, 1L);
    else if (q->body != NULL) {
        fm_buf_append(&r->body, q->body, q->body_bytes);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        SET(CURLOPT_POSTFIELDS, r->body.n > 0 ? (const char *)r->body.p : "");
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
#undef SET
    if (ok != 0)
        refuse(r, "libcurl refuses the request's settings");
}

static void on_refused(uv_timer_t *t)
{
    struct request *r = t->data;
    struct http *h = r->http;
    set_ended(r);
    tell_ended(h);
}

static bool is_http(const char *url)
{
    return url != NULL && (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0);
}

void http_start(struct http *h, uint64_t id, const struct http_request *whole)
{
    const struct fm_http_request *q = whole->request;
    struct request *r = fm_xcalloc(1, sizeof(*r));
    r->id = id;
    r->http = h;
    r->idle_ms = whole->idle_timeout_ms;
    r->started_us = fm_now_mono_us();
    r->max_response = q->max_response_bytes > 0 ? q->max_response_bytes : MAX_RESPONSE_BYTES;
    HASH_ADD(hh, h->table, id, sizeof(r->id), r);
    (void)uv_timer_init(h->loop, &r->first_byte);
    r->first_byte.data = r;
    if (!is_http(q->url))
        refuse(r, "the URL must begin with http:// or https://");
    else
        add_headers(r, q);
    if (!r->refused && (r->easy = curl_easy_init()) == NULL)
        refuse(r, "libcurl is out of memory");
    if (!r->refused)
        set_options(r, q);
    if (!r->refused && curl_multi_add_handle(h->multi, r->easy) != CURLM_OK)
        refuse(r, "libcurl does not take the request");
    uint64_t first = q->first_byte_timeout_ms > 0 ? q->first_byte_timeout_ms : FIRST_BYTE_TIMEOUT_MS;
    uv_update_time(h->loop);
    (void)uv_timer_start(&r->first_byte, r->refused ? on_refused : on_no_first_byte, r->refused ? 0 : first,
                         0);
}

static void on_sweep(uv_timer_t *t)
{
    tell_ended(t->data);
}

void http_cancel(struct http *h, uint64_t id)
{
    struct request *r;
    HASH_FIND(hh, h->table, &id, sizeof(id), r);
    if (r == NULL) {
        DL_FOREACH (h->ended, r)
            if (r->id == id)
                r->cancelled = true; /* its turn comes in a moment */
        return;
    }
    r->cancelled = true;
    set_ended(r);
    /* Called from a handler, and so perhaps from inside libcurl, which must not be entered
     * again. */
    (void)uv_timer_start(&h->sweep, on_sweep, 0, 0);
}

/* ---- life ---- */

int http_check_ca(const char *file, struct fm_err *err)
{
    FILE *f = file == NULL ? NULL : fopen(file, "re");
    fm_autofree char *line = NULL;
    size_t size = 0;
    bool begun = false, whole = false;
    if (file == NULL)
        return 0;
    if (f == NULL)
        return fm_err_set(err, errno == ENOENT ? FM_NOT_FOUND : FM_PERMISSION_DENIED, "ca_file",
                          "--ca-file %s cannot be read: %s", file, strerror(errno));
    while (!whole && getline(&line, &size, f) > 0) {
        begun = begun || strncmp(line, "-----BEGIN CERTIFICATE-----", 27) == 0 ||
                strncmp(line, "-----BEGIN TRUSTED CERTIFICATE-----", 35) == 0;
        whole = begun && (strncmp(line, "-----END CERTIFICATE-----", 25) == 0 ||
                          strncmp(line, "-----END TRUSTED CERTIFICATE-----", 33) == 0);
    }
    (void)fclose(f);
    return whole ? 0
                 : fm_err_set(err, FM_INVALID_ARGUMENT, "ca_file",
                              "--ca-file %s contains no certificate (PEM)", file);
}

struct http *http_new(uv_loop_t *loop, const struct outside_events *events, const struct secrets *secrets,
                      const char *ca_file)
{
    struct http *h = fm_xcalloc(1, sizeof(*h));
    h->loop = loop;
    h->events = events;
    h->secrets = secrets;
    h->ca_file = ca_file;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (h->multi = curl_multi_init()) == NULL)
        fm_abort("libcurl cannot be started");
    (void)uv_timer_init(loop, &h->timer);
    h->timer.data = h;
    (void)uv_timer_init(loop, &h->sweep);
    h->sweep.data = h;
    (void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    (void)curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
    (void)curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    (void)curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
    (void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
    return h;
}

void http_stop(struct http *h)
{
    struct request *r, *tmp;
    h->stopping = true;
    HASH_ITER (hh, h->table, r, tmp)
        set_ended(r);
    tell_ended(h);
    (void)curl_multi_cleanup(h->multi);
    h->multi = NULL;
    (void)uv_timer_stop(&h->timer);
    uv_close((uv_handle_t *)&h->timer, NULL);
    uv_close((uv_handle_t *)&h->sweep, NULL);
}

void http_free(struct http *h)
{
    curl_global_cleanup();
    free(h);
}
