/* Patterns of JSON Schemas: up to a zero byte it is a pattern, what follows is the text. A pattern is taken
 * or refused with a reason; a match within some work takes no longer, and no more memory, than it may. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "ecma_regex.h"
#include "fuzz.h"

#define WORK 500000u
#define MOST_MS 1000          /* some milliseconds without sanitizers */
#define MOST_GROWTH_KB 200000 /* of the whole process, with what a sanitizer holds back */

static double cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static long peak_kb(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? u.ru_maxrss : 0;
}

static char *copy(const uint8_t *p, size_t n)
{
    char *text = malloc(n + 1);
    if (text == NULL)
        abort();
    memcpy(text, p, n);
    text[n] = '\0';
    return text;
}

/* A text of the fuzzer's is short: the same again and again may be what takes long. */
static void match(const struct ecma_regex *r, const char *text, size_t n, size_t times)
{
    struct ecma_regex_room *room = ecma_regex_room_new();
    char *all = malloc(n * times + 1);
    if (all == NULL)
        abort();
    for (size_t i = 0; i < times; i++)
        memcpy(all + i * n, text, n);
    size_t work = WORK;
    enum ecma_regex_result result = ecma_regex_match(r, room, all, n * times, &work);
    if (work > WORK || (result == ECMA_REGEX_MATCHES && work == 0 && n == 0))
        abort();
    free(all);
    ecma_regex_room_free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_err err = {0};
    const uint8_t *zero = size == 0 ? NULL : memchr(data, 0, size);
    size_t n = zero == NULL ? size : (size_t)(zero - data);
    char *pattern = copy(data, n), *text = zero == NULL ? copy(data, 0) : copy(zero + 1, size - n - 1);
    double start = cpu_ms();
    long before = peak_kb();
    struct ecma_regex *r = ecma_regex_new(pattern, &err);
    if ((r == NULL) != (err.code == FM_INVALID_ARGUMENT) || (r == NULL && err.msg[0] == '\0'))
        abort();
    if (r != NULL) {
        size_t bytes = zero == NULL ? 0 : size - n - 1;
        match(r, text, bytes, 1);
        match(r, text, bytes, bytes == 0 ? 1 : 20000 / bytes + 1);
    }
    if (cpu_ms() - start > MOST_MS || peak_kb() - before > MOST_GROWTH_KB)
        abort();
    ecma_regex_free(r);
    free(pattern);
    free(text);
    fm_err_done(&err);
    return 0;
}
