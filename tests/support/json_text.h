/* JSON in tests is written with single quotes, so that C need not escape them: {'a': 'b'} is {"a": "b"}.
 * Within single quotes \' is an apostrophe, and " needs no escape. What stands in double quotes is left as it
 * is, so JSON that a program has made may be put in by %s. */
#ifndef FM_TEST_JSON_TEXT_H
#define FM_TEST_JSON_TEXT_H

#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>

/* The JSON that is meant, for free(). It need not be a whole value: ",'a':1" is good, too. */
char *json_text(const char *text);
/* The same of a text that printf makes. */
char *json_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *json_vformat(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
/* The same into an array, which must be large enough. */
void json_print(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The value that is meant, for json_decref. */
json_t *json_parse(const char *text);

#endif
