/* Part of every test program: FERMATA_TEST_CASE=PATTERN in the environment runs only the cases that match
 * (`*` and `?` as in a shell). */
#include <stdlib.h>

void cmocka_set_test_filter(const char *pattern);

__attribute__((constructor)) static void one_case(void)
{
    cmocka_set_test_filter(getenv("FERMATA_TEST_CASE"));
}
