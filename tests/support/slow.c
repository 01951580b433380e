/* How fast things happen. See slow.h. */
#include "slow.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST 100

int test_slow(void)
{
    const char *env = getenv("FERMATA_TEST_SLOW");
    long factor = env == NULL ? 1 : strtol(env, NULL, 10);
    factor = factor < 1 ? 1 : factor > MOST ? MOST : factor;
    return (int)factor * (TEST_SANITIZED ? 4 : 1);
}

const char *test_seconds(int seconds)
{
    static char texts[4][16];
    static unsigned next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof(texts[0]), "%ds", seconds * test_slow());
    return text;
}
