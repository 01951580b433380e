/* The heap gives what is first, whatever was added, moved and removed before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heap.h"

struct item {
    unsigned key, id;
    size_t place;
};

static bool before(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    return a->key != b->key ? a->key < b->key : a->id < b->id;
}

#define N 200

static void what_is_first_comes_first(void **state)
{
    (void)state;
    static struct item items[N];
    struct fm_heap h = fm_heap_of(before, offsetof(struct item, place));
    unsigned random = 1;
    assert_null(fm_heap_first(&h));
    for (unsigned round = 0; round < 20000; round++) {
        random = random * 1103515245u + 12345u;
        struct item *it = &items[(random >> 16) % N];
        it->id = (unsigned)(it - items);
        if (it->place == 0) {
            it->key = (random >> 8) % 50;
            fm_heap_add(&h, it);
        } else if (random >> 31 == 0) {
            it->key = (random >> 4) % 50;
            fm_heap_moved(&h, it);
        } else {
            fm_heap_remove(&h, it);
        }
        const struct item *first = NULL;
        size_t n = 0;
        for (size_t i = 0; i < N; i++) {
            n += items[i].place != 0;
            if (items[i].place != 0 && (first == NULL || before(&items[i], first)))
                first = &items[i];
        }
        assert_int_equal(h.n, n);
        assert_ptr_equal(fm_heap_first(&h), first);
    }
    fm_heap_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_first_comes_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
