/* How fast a test may expect things to happen, in one place. What is waited for comes at once on a quiet
 * machine; these limits are for hangs, and generous, so that a test holds beside whatever else the machine
 * does. */
#ifndef FM_TEST_SLOW_H
#define FM_TEST_SLOW_H

#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#elif __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif
#define TEST_SANITIZED (TEST_TSAN || TEST_ASAN)

/* How many times slower than usual all is: 4 in a sanitizer's build, else 1; FERMATA_TEST_SLOW=3 in the
 * environment makes that three times as much. */
int test_slow(void);
/* Whatever takes longer than this is taken for a hang. */
#define DEADLINE_MS (60000 * test_slow())
/* So many seconds of a usual machine as daemons take them: "12s". For times that the test must beat, such as
 * a lease. Valid until the fourth call from here. */
const char *test_seconds(int seconds);

#endif
