/* Carrying bytes between a TLS connection and its plain end. See tls_link.h. */
#include "tls_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "mem.h"
#include "tls_context.h"

#define AT_ONCE 16       /* records each way, then others have their turn */
#define ASIDES 64        /* messages that carry no data (new keys, tickets) at once, … */
#define ASIDES_PER_S 1   /* … and a second in the long run */
#define FIRST_CONTENT 22 /* content type of the handshake protocol */

/* What costs work and is no data. */
static void count_asides(int write, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
    struct tls_link *l = arg;
    (void)version, (void)p, (void)n, (void)ssl;
    if (write == 0 && type == FIRST_CONTENT)
        l->asides++;
}

void tls_link_init(struct tls_link *l, struct tls_context *context, int net, const char *name)
{
    l->net = net;
    l->plain = -1;
    l->ssl = tls_context_start(context, net, name);
    l->state = TLS_SHAKING;
}

static void fail(struct tls_link *l)
{
    if (l->why[0] == '\0')
        tls_why(l->ssl, l->why, sizeof(l->why));
    ERR_clear_error();
    l->state = TLS_OVER;
}

int tls_link_shake(struct tls_link *l)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(l->ssl);
    if (rc == 1)
        return 1;
    int what = SSL_get_error(l->ssl, rc);
    if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
        return 0;
    fail(l);
    return -1;
}

void tls_link_open(struct tls_link *l, int plain, int64_t now_ms)
{
    l->plain = plain;
    l->state = TLS_OPEN;
    l->since_ms = now_ms;
    l->net_in = l->net_out = l->plain_in = l->plain_out = true;
    SSL_set_msg_callback(l->ssl, count_asides);
    SSL_set_msg_callback_arg(l->ssl, l);
}

void tls_link_done(struct tls_link *l)
{
    if (l->plain >= 0)
        close(l->plain);
    l->plain = -1;
    SSL_free(l->ssl);
    if (l->net >= 0)
        close(l->net);
    free(l->inward.p);
    free(l->outward.p);
    l->ssl = NULL;
    l->net = -1;
    l->inward.p = l->outward.p = NULL;
}

/* ---- leftovers ---- */

static bool has(const struct tls_left *left)
{
    return left->p != NULL;
}

static void keep(struct tls_left *left, const uint8_t *p, size_t n)
{
    *left = (struct tls_left){fm_xmemdup(p, n), n, 0};
}

static void took(struct tls_left *left, size_t n)
{
    left->at += n;
    if (left->at < left->n)
        return;
    free(left->p);
    *left = (struct tls_left){0};
}

/* ---- inward: from the network to the plain end ---- */

/* Returns how many bytes it took. */
static size_t put_plain(struct tls_link *l, const uint8_t *p, size_t n)
{
    ssize_t k = l->plain_out ? send(l->plain, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
    if (k < 0 && errno != EAGAIN && errno != EINTR) {
        l->plain_gone = true;
        return n; /* it interests nobody */
    }
    if (k < (ssize_t)n)
        l->plain_out = false;
    return k < 0 ? 0 : (size_t)k;
}

static void end_inward(struct tls_link *l)
{
    l->net_ended = true;
    if (!has(&l->inward))
        (void)shutdown(l->plain, SHUT_WR);
}

static void take_net(struct tls_link *l, uint8_t *buf)
{
    int64_t asides = l->asides;
    ERR_clear_error();
    int n = SSL_read(l->ssl, buf, TLS_RECORD_BYTES);
    if (n > 0) {
        size_t k = put_plain(l, buf, (size_t)n);
        if (k < (size_t)n)
            keep(&l->inward, buf + k, (size_t)n - k);
        return;
    }
    switch (SSL_get_error(l->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        l->net_in = l->asides != asides; /* what it has read was no data: there may be more behind it */
        return;
    case SSL_ERROR_WANT_WRITE:
        l->net_in = l->net_out = false;
        return;
    case SSL_ERROR_ZERO_RETURN:
        end_inward(l);
        return;
    default:
        fail(l);
    }
}

static bool inward(struct tls_link *l, uint8_t *buf)
{
    if (has(&l->inward)) {
        if (!l->plain_out)
            return false;
        took(&l->inward, put_plain(l, l->inward.p + l->inward.at, l->inward.n - l->inward.at));
        if (!has(&l->inward) && l->net_ended)
            end_inward(l);
        return true;
    }
    if (l->net_ended || !l->net_in)
        return false;
    take_net(l, buf);
    return true;
}

/* ---- outward: from the plain end to the network ---- */

static size_t put_net(struct tls_link *l, const uint8_t *p, size_t n)
{
    ERR_clear_error();
    int k = SSL_write(l->ssl, p, (int)n);
    if (k > 0)
        return (size_t)k;
    int what = SSL_get_error(l->ssl, k);
    if (what == SSL_ERROR_WANT_WRITE)
        l->net_out = false;
    else
        fail(l);
    return 0;
}

static void take_plain(struct tls_link *l, uint8_t *buf)
{
    ssize_t n = recv(l->plain, buf, TLS_RECORD_BYTES, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        l->plain_in = false;
        return;
    }
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        l->plain_ended = true;
        return;
    }
    size_t k = put_net(l, buf, (size_t)n);
    if (k < (size_t)n && l->state != TLS_OVER)
        keep(&l->outward, buf + k, (size_t)n - k);
}

static bool outward(struct tls_link *l, uint8_t *buf)
{
    if (has(&l->outward)) {
        if (!l->net_out)
            return false;
        took(&l->outward, put_net(l, l->outward.p + l->outward.at, l->outward.n - l->outward.at));
        return true;
    }
    if (l->plain_ended || !l->plain_in)
        return false;
    take_plain(l, buf);
    return true;
}

/* ---- the end ---- */

/* All is said: the other side is told so, and may still send what was on its way. To close at once would
 * reset the connection, and with it lose what it has not read. */
static void say_bye(struct tls_link *l)
{
    l->said_bye = true;
    (void)SSL_shutdown(l->ssl);
    ERR_clear_error();
    (void)shutdown(l->net, SHUT_WR);
}

static void discard(struct tls_link *l, uint8_t *buf)
{
    ssize_t n = recv(l->net, buf, TLS_RECORD_BYTES, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        l->net_in = false;
    else if (n <= 0 && errno != EINTR)
        l->state = TLS_OVER;
}

static void begin_close(struct tls_link *l)
{
    l->state = TLS_CLOSING;
    l->net_in = true;
    free(l->inward.p);
    l->inward = (struct tls_left){0};
}

static bool carry(struct tls_link *l, uint8_t *buf, int64_t now_ms)
{
    bool more = outward(l, buf);
    if (l->state == TLS_OPEN)
        more = inward(l, buf) || more;
    if (l->state == TLS_OPEN && l->asides > ASIDES + (now_ms - l->since_ms) / 1000 * ASIDES_PER_S) {
        (void)snprintf(l->why, sizeof(l->why), "too many TLS messages that carry no data");
        l->state = TLS_OVER;
    }
    if (l->state == TLS_OPEN && (l->plain_gone || l->plain_ended))
        begin_close(l);
    return more || l->state == TLS_CLOSING;
}

static bool carry_rest(struct tls_link *l, uint8_t *buf)
{
    bool more = outward(l, buf);
    if (l->state == TLS_CLOSING && l->plain_ended && !has(&l->outward) && !l->said_bye)
        say_bye(l);
    if (l->state == TLS_CLOSING && l->net_in)
        discard(l, buf);
    return l->state == TLS_CLOSING && (more || l->net_in);
}

bool tls_link_pump(struct tls_link *l, uint8_t buf[TLS_RECORD_BYTES], int64_t now_ms)
{
    bool more = true;
    for (int i = 0; more && i < AT_ONCE && l->state != TLS_OVER; i++)
        more = l->state == TLS_OPEN ? carry(l, buf, now_ms) : carry_rest(l, buf);
    return more && l->state != TLS_OVER;
}
