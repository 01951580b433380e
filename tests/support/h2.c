/* HTTP/2 by hand. See h2.h. */
#define _GNU_SOURCE
#include "h2.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "certs.h"

#include "mem.h"
#include "proc.h"
#include "slow.h"

#define TAKES_NOTHING_S (10 * test_slow())

/* ---- connections ---- */

size_t h2_raise_files(void)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    r.rlim_cur = r.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &r), 0);
    return (size_t)r.rlim_max;
}

int h2_raw_tcp(const char *address, unsigned from)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}},
                       here = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK - 1 + from)}};
    struct timeval patience = {TAKES_NOTHING_S, 0};
    struct linger reset = {1, 0};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail_msg("socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&here, sizeof(here)) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return fd;
    close(fd);
    return -1;
}

int h2_try_tcp(const char *address, unsigned from)
{
    const struct timeval patience = {TAKES_NOTHING_S, 0};
    int fd = h2_raw_tcp(address, from);
    if (fd < 0 || !certs_wanted())
        return fd;
    fd = certs_secure(fd, "user-ann");
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return fd;
}

int h2_tcp(const char *address, unsigned from)
{
    int fd = h2_try_tcp(address, from);
    if (fd < 0)
        fail_msg("no connection to %s: %s", address, strerror(errno));
    return fd;
}

bool h2_send(int fd, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

bool h2_send_slowly(int fd, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!h2_send(fd, (const uint8_t *)bytes + i, 1))
            return false;
    return true;
}

bool h2_preface(int fd)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    return h2_send(fd, preface, sizeof(preface) - 1) && h2_frame(fd, H2_SETTINGS, 0, 0, NULL, 0);
}

int h2_open(const char *address)
{
    int fd = h2_tcp(address, 1);
    assert_true(h2_preface(fd));
    return fd;
}

/* ---- frames ---- */

void h2_frame_header(uint8_t *out, size_t length, enum h2_type type, uint8_t flags, uint32_t stream)
{
    const uint8_t h[9] = {
        (uint8_t)(length >> 16), (uint8_t)(length >> 8),  (uint8_t)length,        (uint8_t)type,  flags,
        (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    memcpy(out, h, sizeof(h));
}

bool h2_frame(int fd, enum h2_type type, uint8_t flags, uint32_t stream, const void *payload, size_t n)
{
    uint8_t *b = fm_xmalloc(9 + n);
    h2_frame_header(b, n, type, flags, stream);
    if (n > 0)
        memcpy(b + 9, payload, n);
    bool ok = h2_send(fd, b, 9 + n);
    free(b);
    return ok;
}

bool h2_message(int fd, uint32_t stream, uint8_t flags, uint8_t compressed, uint32_t length, const void *p,
                size_t n)
{
    uint8_t *b = fm_xmalloc(5 + n);
    const uint8_t prefix[5] = {compressed, (uint8_t)(length >> 24), (uint8_t)(length >> 16),
                               (uint8_t)(length >> 8), (uint8_t)length};
    memcpy(b, prefix, sizeof(prefix));
    if (n > 0)
        memcpy(b + 5, p, n);
    bool ok = h2_frame(fd, H2_DATA, flags, stream, b, 5 + n);
    free(b);
    return ok;
}

/* ---- header blocks ---- */

static void put(struct h2_block *b, const void *p, size_t n)
{
    b->p = fm_xrealloc(b->p, b->n + n + 1);
    if (n > 0)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}

/* RFC 7541, 5.1 with a prefix of 7 bits and 5.2 without Huffman. */
static void put_string(struct h2_block *b, const void *s, size_t n)
{
    size_t rest = n;
    uint8_t octets[8];
    size_t k = 0;
    if (n < 127) {
        octets[k++] = (uint8_t)n;
    } else {
        octets[k++] = 127;
        for (rest -= 127; rest >= 128; rest >>= 7)
            octets[k++] = (uint8_t)(rest | 128);
        octets[k++] = (uint8_t)rest;
    }
    put(b, octets, k);
    put(b, s, n);
}

void h2_literal_bytes(struct h2_block *b, const char *name, const void *value, size_t n)
{
    put(b, "\0", 1);
    put_string(b, name, strlen(name));
    put_string(b, value, n);
}

void h2_literal(struct h2_block *b, const char *name, const char *value)
{
    h2_literal_bytes(b, name, value, strlen(value));
}

void h2_request_bytes(struct h2_block *b, const void *path, size_t n, const char *content_type)
{
    h2_literal(b, ":method", "POST");
    h2_literal(b, ":scheme", "http");
    h2_literal_bytes(b, ":path", path, n);
    h2_literal(b, ":authority", "localhost");
    h2_literal(b, "content-type", content_type == NULL ? "application/grpc" : content_type);
    h2_literal(b, "te", "trailers");
}

void h2_request(struct h2_block *b, const char *path, const char *content_type)
{
    h2_request_bytes(b, path, strlen(path), content_type);
}

void h2_block_free(struct h2_block *b)
{
    free(b->p);
    *b = (struct h2_block){0};
}

bool h2_call(int fd, uint32_t stream, const char *path)
{
    struct h2_block b = {0};
    h2_request(&b, path, NULL);
    bool ok = h2_frame(fd, H2_HEADERS, H2_END_HEADERS, stream, b.p, b.n);
    h2_block_free(&b);
    return ok;
}

bool h2_block_has(const struct h2_block *b, const char *text)
{
    return b->p != NULL && memmem(b->p, b->n, text, strlen(text)) != NULL;
}

/* ---- what the server says ---- */

/* n bytes before the time; 1 when they came, 0 at the end of the stream, -1 when they did not. */
static int read_all(int fd, uint8_t *p, size_t n, long long until_ms)
{
    while (n > 0) {
        struct pollfd pfd = {fd, POLLIN, 0};
        long long left = until_ms - test_now_ms();
        if (left <= 0 || poll(&pfd, 1, (int)left) <= 0)
            return -1;
        ssize_t k = recv(fd, p, n, 0);
        if (k <= 0)
            return 0;
        p += k;
        n -= (size_t)k;
    }
    return 1;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct frame {
    size_t n;
    uint8_t type, flags;
    uint32_t stream;
    uint8_t *payload; /* for free() */
};

/* As read_all; the payload is allocated only when it is all there. */
static int read_frame(int fd, struct frame *f, long long until_ms)
{
    uint8_t h[9];
    int rc = read_all(fd, h, sizeof(h), until_ms);
    if (rc <= 0)
        return rc;
    *f = (struct frame){.n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2],
                        .type = h[3],
                        .flags = h[4],
                        .stream = get32(h + 5) & 0x7fffffff};
    f->payload = fm_xmalloc(f->n + 1);
    if ((rc = read_all(fd, f->payload, f->n, until_ms)) <= 0)
        free(f->payload);
    return rc;
}

/* What this frame ends, as far as this stream is concerned. */
static enum h2_end ended_by(const struct frame *f, uint32_t stream, struct h2_block *ret_block)
{
    if (f->type == H2_GOAWAY)
        return H2_WENT_AWAY;
    if (stream == 0 || f->stream != stream)
        return H2_NOTHING;
    if (f->type == H2_HEADERS && ret_block != NULL) {
        h2_block_free(ret_block);
        put(ret_block, f->payload, f->n);
    }
    if (f->type == H2_RST_STREAM)
        return H2_STREAM_RESET;
    return (f->type == H2_HEADERS || f->type == H2_DATA) && (f->flags & H2_END_STREAM) != 0 ? H2_STREAM_ENDED
                                                                                            : H2_NOTHING;
}

enum h2_end h2_wait_end(int fd, uint32_t stream, int timeout_ms, struct h2_block *ret_block)
{
    long long until = test_now_ms() + timeout_ms;
    enum h2_end end = H2_NOTHING;
    while (end == H2_NOTHING) {
        struct frame f;
        int rc = read_frame(fd, &f, until);
        if (rc <= 0)
            return rc == 0 ? H2_CLOSED : H2_NOTHING;
        end = ended_by(&f, stream, ret_block);
        free(f.payload);
    }
    return end;
}

uint32_t h2_serve(int fd, int timeout_ms)
{
    long long until = test_now_ms() + timeout_ms;
    uint8_t preface[24];
    uint32_t stream = 0;
    if (read_all(fd, preface, sizeof(preface), until) <= 0 || !h2_frame(fd, H2_SETTINGS, 0, 0, NULL, 0))
        return 0;
    while (stream == 0) {
        struct frame f;
        if (read_frame(fd, &f, until) <= 0)
            return 0;
        if ((f.type == H2_HEADERS || f.type == H2_CONTINUATION) && (f.flags & H2_END_HEADERS) != 0)
            stream = f.stream;
        free(f.payload);
    }
    return stream;
}

/* What may be sent: on the stream, on the connection, and on new streams. */
struct windows {
    int64_t stream, all, initial;
};

static void open_windows(struct windows *w, const struct frame *f, uint32_t stream)
{
    if (f->type == H2_WINDOW_UPDATE && f->n == 4 && f->stream == 0)
        w->all += get32(f->payload);
    if (f->type == H2_WINDOW_UPDATE && f->n == 4 && f->stream == stream)
        w->stream += get32(f->payload);
    for (size_t i = 0; f->type == H2_SETTINGS && i + 6 <= f->n; i += 6)
        if (f->payload[i + 1] == 4) { /* SETTINGS_INITIAL_WINDOW_SIZE */
            w->stream += get32(f->payload + i + 2) - w->initial;
            w->initial = get32(f->payload + i + 2);
        }
}

enum h2_end h2_send_data(int fd, uint32_t stream, uint8_t flags, const void *p, size_t n, int timeout_ms,
                         struct h2_block *ret_block)
{
    long long until = test_now_ms() + timeout_ms;
    struct windows w = {H2_WINDOW, H2_WINDOW, H2_WINDOW};
    size_t at = 0;
    while (at < n) {
        int64_t may = w.stream < w.all ? w.stream : w.all;
        size_t k = n - at < 16384 ? n - at : 16384;
        struct frame f;
        if (may >= (int64_t)k) {
            if (!h2_frame(fd, H2_DATA, at + k == n ? flags : 0, stream, (const uint8_t *)p + at, k))
                return H2_CLOSED;
            at += k;
            w.stream -= (int64_t)k;
            w.all -= (int64_t)k;
            continue;
        }
        int rc = read_frame(fd, &f, until);
        if (rc <= 0)
            return H2_CLOSED;
        open_windows(&w, &f, stream);
        enum h2_end end = ended_by(&f, stream, ret_block);
        free(f.payload);
        if (end != H2_NOTHING)
            return end;
    }
    return H2_NOTHING;
}

/* ---- compression ---- */

struct bits {
    uint8_t *p;
    size_t n; /* bits so far */
};

/* A Huffman code of RFC 1951: its first bit first, into the lowest bit that is free. */
static void put_bits(struct bits *b, unsigned code, unsigned n)
{
    while (n-- > 0) {
        b->p[b->n / 8] = (uint8_t)(b->p[b->n / 8] | (code >> n & 1) << b->n % 8);
        b->n++;
    }
}

uint8_t *h2_gzip_bomb(size_t n)
{
    static const uint8_t gzip[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    uint8_t *out = fm_xcalloc(1, n);
    struct bits b = {out, (5 + sizeof(gzip)) * 8};
    assert_true(n > 64);
    out[0] = 1;
    for (int i = 0; i < 4; i++)
        out[1 + i] = (uint8_t)((n - 5) >> (24 - 8 * i));
    memcpy(out + 5, gzip, sizeof(gzip));
    put_bits(&b, 6, 3);    /* the last block, with the fixed codes */
    put_bits(&b, 0x30, 8); /* a zero */
    while (b.n + 13 + 7 + 64 < n * 8)
        put_bits(&b, 0xc5 << 5, 13); /* 258 times what was before it */
    return out;                      /* zeros: the end of the block, and a checksum */
}
