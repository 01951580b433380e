/* The frames that a client sends on an HTTP/2 connection, read as far as is needed to say that
 * the client goes too far: gRPC (1.51) bounds neither header blocks that do not end, for which its
 * work grows with the square of their size, nor the rates of frames that cost little to send, nor
 * the streams of a client that does not acknowledge its settings. A pure function over bytes:
 * however they are split, the verdict is the same. What is merely wrong is left to gRPC. */
#ifndef FM_RPC_FRAMES_H
#define FM_RPC_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_FRAMES_STREAMS 4096       /* at a time; as long as this is not acknowledged, in all */
#define RPC_FRAMES_BLOCK_BYTES 65536  /* of a header block as it is sent: four header lists */
#define RPC_FRAMES_BLOCK_FRAMES 16    /* of which it may consist */
#define RPC_FRAMES_CONTROL_BYTES 1024 /* of a frame that carries neither data nor headers */
/* gRPC reads a header block that has come in part anew with each further part: so many bytes in
 * all for one block. Byte by byte that is a block of 5,792 bytes. */
#define RPC_FRAMES_ANEW_BYTES (16u << 20)

/* What may come only so fast, however well it is formed. */
enum rpc_frames_rate {
    RPC_FRAMES_RESETS,
    RPC_FRAMES_PINGS,    /* and answers to pings */
    RPC_FRAMES_SETTINGS, /* and acknowledgements */
    RPC_FRAMES_EMPTY,    /* DATA without data (but for one that ends a stream), windows widened by 0 */
    RPC_FRAMES_WINDOWS,
    RPC_FRAMES_OTHERS,  /* priorities, unknown types, headers of streams that were there */
    RPC_FRAMES_OPENING, /* streams; one that becomes a call does not count */
    RPC_FRAMES_RATES
};

/* How many of these may come at once, and a second in the long run. */
struct rpc_frames_limit {
    int64_t burst, per_s;
    const char *why; /* what is said of a client that goes beyond */
};
extern const struct rpc_frames_limit rpc_frames_limits[RPC_FRAMES_RATES];

/* The reader's state. */
struct rpc_frames {
    const char *why; /* the verdict, when there is one */
    uint8_t head[9]; /* of a frame, as far as it has come */
    uint32_t have;   /* bytes of the preface, then of the head */
    bool of_server, prefaced, in_payload;
    uint32_t left; /* of the payload */
    uint8_t seen;  /* its bytes, or-ed */
    uint32_t last_stream, opened, taken, ended;
    bool acknowledged;
    bool in_block;
    uint32_t block_stream, block_bytes, block_frames, anew_bytes;
    int64_t at_ms;
    int64_t thousandths[RPC_FRAMES_RATES]; /* of what may still come at once */
};

/* A new connection, at this monotonic time. */
void rpc_frames_init(struct rpc_frames *f, int64_t now_ms);
/* The same for what a server sends. */
void rpc_frames_init_of_server(struct rpc_frames *f, int64_t now_ms);
/* Reads what comes next. Returns NULL, or what the client must not do (a constant text): none of
 * these bytes, nor any later ones, may reach gRPC. */
const char *rpc_frames_read(struct rpc_frames *f, const uint8_t *p, size_t n, int64_t now_ms);
/* What has come so far is handed on. The same result; this one depends on how the bytes came. */
const char *rpc_frames_hand_on(struct rpc_frames *f);
/* One of the streams has become a call. False: there was none. */
bool rpc_frames_taken(struct rpc_frames *f);

#endif
