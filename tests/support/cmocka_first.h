/* What cmocka.h needs before it; the build includes this first in every test, so that the order of includes
 * does not matter. */
#ifndef FM_TEST_CMOCKA_FIRST_H
#define FM_TEST_CMOCKA_FIRST_H

#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#endif
