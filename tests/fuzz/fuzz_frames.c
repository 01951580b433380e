/* What a client sends: however it is split, the guard says the same of it; and what it says of the first
 * bytes it says of all. The input: a byte that says how it is split, one that says whether a preface stands
 * before the rest. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "rpc_frames.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define NOW_MS 1000

static void check(const struct rpc_frames *f)
{
    if (f->taken > f->opened || f->block_bytes > RPC_FRAMES_BLOCK_BYTES ||
        f->block_frames > RPC_FRAMES_BLOCK_FRAMES + 1 || (f->prefaced && f->have > 9))
        abort();
    for (size_t i = 0; i < RPC_FRAMES_RATES; i++)
        if (f->thousandths[i] < 0 || f->thousandths[i] > rpc_frames_limits[i].burst * 1000)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rpc_frames whole, split;
    if (size < 2)
        return 0;
    uint32_t seed = data[0];
    bool preface = data[1] % 4 != 0;
    data += 2;
    size -= 2;
    rpc_frames_init(&whole, NOW_MS);
    rpc_frames_init(&split, NOW_MS);
    if (preface)
        for (size_t i = 0; i < strlen(PREFACE); i++) {
            (void)rpc_frames_read(&whole, (const uint8_t *)PREFACE + i, 1, NOW_MS);
            (void)rpc_frames_read(&split, (const uint8_t *)PREFACE + i, 1, NOW_MS);
        }
    const char *want = rpc_frames_read(&whole, data, size, NOW_MS), *have = NULL;
    check(&whole);
    for (size_t at = 0; at < size;) {
        seed = seed * 1664525u + 1013904223u;
        size_t k = seed % 256 == 0 ? 1 : (seed >> 8) % 40;
        k = k > size - at ? size - at : k;
        const char *why = rpc_frames_read(&split, data + at, k, NOW_MS);
        if (have != NULL && why != have)
            abort();
        have = why;
        at += k;
        check(&split);
    }
    if (have != want || whole.opened != split.opened)
        abort();
    return 0;
}
