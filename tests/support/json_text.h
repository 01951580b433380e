/* JSON in C: J({"a": [1, true]}) is that text. */
#ifndef FM_TEST_JSON_H
#define FM_TEST_JSON_H
#define J(...) #__VA_ARGS__
#endif
