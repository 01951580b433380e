/* A client's frames: counted and measured, not understood. See rpc_frames.h. */
#include "rpc_frames.h"

#include <string.h>

#define HEAD 9
#define END_STREAM 1
#define ACK 1
#define END_HEADERS 4

/* RFC 9113, 6. */
enum type {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* Far above what gRPC's own clients need, those that measure bandwidth with pings included. */
const struct rpc_frames_limit rpc_frames_limits[RPC_FRAMES_RATES] = {
    [RPC_FRAMES_RESETS] = {8192,  500,   "too many RST_STREAM frames"              },
    [RPC_FRAMES_PINGS] = {4096,  2000,  "too many PING frames"                    },
    [RPC_FRAMES_SETTINGS] = {512,   100,   "too many SETTINGS frames"                },
    [RPC_FRAMES_EMPTY] = {1024,  100,   "too many frames without effect"          },
    [RPC_FRAMES_WINDOWS] = {65536, 50000, "too many WINDOW_UPDATE frames"           },
    [RPC_FRAMES_OTHERS] = {8192,  1000,  "too many frames that gRPC has no use for"},
    [RPC_FRAMES_OPENING] = {8192,  500,   "too many streams that become no call"    },
};

void rpc_frames_init(struct rpc_frames *f, int64_t now_ms)
{
    memset(f, 0, sizeof(*f));
    f->at_ms = now_ms;
    for (size_t i = 0; i < RPC_FRAMES_RATES; i++)
        f->thousandths[i] = rpc_frames_limits[i].burst * 1000;
}

void rpc_frames_init_of_server(struct rpc_frames *f, int64_t now_ms)
{
    rpc_frames_init(f, now_ms);
    f->of_server = f->prefaced = true;
}

static void pass_time(struct rpc_frames *f, int64_t now_ms)
{
    int64_t ms = now_ms - f->at_ms;
    if (ms <= 0)
        return;
    f->at_ms = now_ms;
    for (size_t i = 0; i < RPC_FRAMES_RATES; i++) {
        const struct rpc_frames_limit *l = &rpc_frames_limits[i];
        int64_t lacks = l->burst * 1000 - f->thousandths[i];
        f->thousandths[i] += lacks / l->per_s < ms ? lacks : ms * l->per_s;
    }
}

static const char *count(struct rpc_frames *f, enum rpc_frames_rate rate)
{
    if (f->thousandths[rate] < 1000)
        return rpc_frames_limits[rate].why;
    f->thousandths[rate] -= 1000;
    return NULL;
}

/* ---- heads of frames ---- */

static enum type type_of(const struct rpc_frames *f)
{
    return (enum type)f->head[3];
}

static bool has_flag(const struct rpc_frames *f, uint8_t flag)
{
    return (f->head[4] & flag) != 0;
}

static uint32_t stream_of(const struct rpc_frames *f)
{
    return (uint32_t)(f->head[5] & 0x7f) << 24 | (uint32_t)f->head[6] << 16 | (uint32_t)f->head[7] << 8 |
           f->head[8];
}

/* HEADERS or CONTINUATION: a part of a header block. */
static const char *add_to_block(struct rpc_frames *f)
{
    if (f->left > RPC_FRAMES_BLOCK_BYTES - f->block_bytes)
        return "a header block that is too large";
    if (++f->block_frames > RPC_FRAMES_BLOCK_FRAMES)
        return "a header block of too many frames";
    f->block_bytes += f->left;
    f->in_block = !has_flag(f, END_HEADERS);
    return NULL;
}

static const char *open_stream(struct rpc_frames *f)
{
    f->block_stream = stream_of(f);
    f->block_bytes = f->block_frames = f->anew_bytes = 0;
    if (f->of_server)
        return NULL; /* the client has opened the stream; each has two of them, and the work is linear */
    if (f->block_stream <= f->last_stream)
        return count(f, RPC_FRAMES_OTHERS);
    f->last_stream = f->block_stream;
    if (++f->opened > RPC_FRAMES_STREAMS && !f->acknowledged)
        return "too many streams before the settings are acknowledged";
    return count(f, RPC_FRAMES_OPENING);
}

static const char *begin_control(struct rpc_frames *f)
{
    if (f->left > RPC_FRAMES_CONTROL_BYTES)
        return "a control frame that is too large";
    switch (type_of(f)) {
    case RST_STREAM:
        return count(f, RPC_FRAMES_RESETS);
    case SETTINGS:
        f->acknowledged = f->acknowledged || has_flag(f, ACK);
        return count(f, RPC_FRAMES_SETTINGS);
    case PING:
        return count(f, RPC_FRAMES_PINGS);
    case WINDOW_UPDATE:
        return count(f, RPC_FRAMES_WINDOWS);
    case PUSH_PROMISE:
        return "a PUSH_PROMISE frame, which only servers send";
    default: /* and what other versions of the protocol have */
        return count(f, RPC_FRAMES_OTHERS);
    }
}

/* Each stream has but one end. */
static bool ends_stream(struct rpc_frames *f)
{
    if (!has_flag(f, END_STREAM) || f->ended == f->opened)
        return false;
    f->ended++;
    return true;
}

/* The head is complete. */
static const char *begin_frame(struct rpc_frames *f)
{
    const char *why;
    f->left = (uint32_t)f->head[0] << 16 | (uint32_t)f->head[1] << 8 | f->head[2];
    f->seen = 0;
    f->in_payload = true;
    if (f->in_block && (type_of(f) != CONTINUATION || stream_of(f) != f->block_stream))
        return "another frame within a header block";
    switch (type_of(f)) {
    case HEADERS:
        why = open_stream(f);
        return why != NULL ? why : add_to_block(f);
    case CONTINUATION:
        return f->in_block ? add_to_block(f) : "a CONTINUATION frame outside of a header block";
    case DATA:
        return f->left == 0 && !ends_stream(f) ? count(f, RPC_FRAMES_EMPTY) : NULL;
    default:
        return begin_control(f);
    }
}

/* Its payload is complete. */
static const char *end_frame(struct rpc_frames *f)
{
    f->in_payload = false;
    f->have = 0;
    return type_of(f) == WINDOW_UPDATE && f->seen == 0 ? count(f, RPC_FRAMES_EMPTY) : NULL;
}

/* ---- bytes ---- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t read_preface(struct rpc_frames *f, const uint8_t *p, size_t n)
{
    size_t k = smaller(n, sizeof(preface) - 1 - f->have);
    if (memcmp(p, preface + f->have, k) != 0)
        f->why = "it does not speak HTTP/2";
    f->have += (uint32_t)k;
    f->prefaced = f->have == sizeof(preface) - 1;
    if (f->prefaced)
        f->have = 0;
    return k;
}

static size_t read_head(struct rpc_frames *f, const uint8_t *p, size_t n)
{
    size_t k = smaller(n, HEAD - f->have);
    memcpy(f->head + f->have, p, k);
    f->have += (uint32_t)k;
    if (f->have == HEAD)
        f->why = begin_frame(f);
    return k;
}

static size_t read_payload(struct rpc_frames *f, const uint8_t *p, size_t n)
{
    size_t k = smaller(n, f->left);
    f->left -= (uint32_t)k;
    if (type_of(f) == WINDOW_UPDATE)
        for (size_t i = 0; i < k; i++)
            f->seen |= p[i];
    return k;
}

const char *rpc_frames_read(struct rpc_frames *f, const uint8_t *p, size_t n, int64_t now_ms)
{
    pass_time(f, now_ms);
    for (size_t at = 0; at < n && f->why == NULL;) {
        if (!f->prefaced)
            at += read_preface(f, p + at, n - at);
        else if (!f->in_payload)
            at += read_head(f, p + at, n - at);
        else
            at += read_payload(f, p + at, n - at);
        if (f->why == NULL && f->in_payload && f->left == 0)
            f->why = end_frame(f);
    }
    return f->why;
}

const char *rpc_frames_hand_on(struct rpc_frames *f)
{
    bool in_part = f->in_payload && (type_of(f) == HEADERS || type_of(f) == CONTINUATION);
    if (f->why == NULL && (in_part || f->in_block))
        f->anew_bytes += f->block_bytes - (in_part ? f->left : 0);
    if (f->anew_bytes > RPC_FRAMES_ANEW_BYTES && f->why == NULL)
        f->why = "a header block in too many parts";
    return f->why;
}

bool rpc_frames_taken(struct rpc_frames *f)
{
    if (f->taken == f->opened)
        return false;
    f->taken++;
    if (f->thousandths[RPC_FRAMES_OPENING] < rpc_frames_limits[RPC_FRAMES_OPENING].burst * 1000)
        f->thousandths[RPC_FRAMES_OPENING] += 1000;
    return true;
}
