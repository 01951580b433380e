/* What a coordinator sends to a host: messages, and what happens meanwhile: time, timers, a broken stream. */
#include <string.h>

#include "engine_under_fuzz.h"
#include "fuzz.h"

/* What follows: n (2 bytes, little endian) bytes of a message; or with n above 65,000 an event. */
static size_t turn(const uint8_t *p, size_t left)
{
    size_t n = (size_t)p[0] | (size_t)p[1] << 8;
    under.now += 10;
    if (under.closed) {
        under.closed = false;
        engine_disconnected(under.e, under.now);
        engine_connected(under.e, under.now);
        under.seq = 0;
        under_welcome();
    }
    if (n > 65000) {
        if (n % 4 == 0 && under.timer != 0) {
            uint64_t id = under.timer;
            under.timer = 0;
            engine_timer(under.e, id, under.now);
        } else if (n % 4 == 1) {
            under.closed = true;
        } else {
            under.now += n % 4 == 2 ? 300 : 11000;
            engine_tick(under.e, under.now);
        }
        return 2;
    }
    if (n > left - 2)
        n = left - 2;
    engine_message(under.e, (struct fm_bytes){p + 2, n}, under.now);
    return n + 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    under_begin();
    under_welcome();
    for (size_t i = 0; i + 2 <= size;)
        i += turn(data + i, size - i);
    under_end();
    return 0;
}
