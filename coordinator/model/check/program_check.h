/* What a request says in other languages: jq programs and JSON Schemas; and answers that are large, or whose
 * schemas have patterns. Checking them may take seconds (jq's
 * compiler takes a thousand times longer for some programs than for others of the same size, a thousand
 * patterns of schemas their time, too), and libjq is not to be trusted with what it is given: so programs are
 * compiled in a worker process (jq_eval.h), and all of it happens on a thread of its own (server/checker.c).
 * The core gives away what is to be checked and gets it back with what was found. */
#ifndef FM_PROGRAM_CHECK_H
#define FM_PROGRAM_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "store.h"

struct fm_value;

enum program_kind {
    PROGRAM_JQ,
    PROGRAM_SCHEMA,      /* hosts or the coordinator check data with it: all of it must be understood */
    PROGRAM_TOOL_SCHEMA, /* a model gets it */
    PROGRAM_ANSWER       /* no program: an answer, and what its question accepts */
};

struct program {
    enum program_kind kind;
    char field[128];                    /* where it stands in the request */
    struct fm_buf text;                 /* with NUL at its end; an encoded Struct, or Pause, without */
    uint8_t digest[STORE_DIGEST_BYTES]; /* of kind and text */
    bool is_json;                       /* a schema that is given as text of JSON, and stands so in `text` */
    bool ok;                            /* was checked and is sound */
};

struct program_check {
    struct program_check *prev, *next; /* for who has it */
    uint64_t tag;
    struct program *programs;
    size_t n;
    struct fm_err
        err; /* INVALID_ARGUMENT with all faults; OK: none was found; of an answer as answer_check */
    char skipped[160]; /* why some were not checked; "": all were */
};

struct program_check *program_check_new(void);
void program_check_free(struct program_check *k);
/* Add one; its path and text are copied. */
void program_check_add_jq(struct program_check *k, const char *field, const char *program);
void program_check_add_schema(struct program_check *k, const char *field, enum program_kind kind,
                              const struct fm_value *schema);
/* The answer to a question, to be checked as answer_check does. */
void program_check_add_answer(struct program_check *k, const Fermata__V1__Pause *pause,
                              const Google__Protobuf__Value *answer);
/* Whether it is nothing but an answer; and this very one: the same choices, schema and answer. */
bool program_check_is_answer(const struct program_check *k);
bool program_check_same(const struct program_check *a, const struct program_check *b);
/* Drops program i. */
void program_check_drop(struct program_check *k, size_t i);
/* Checks them, for some seconds at most: then the rest is left out, as it is when no worker can be started or
 * *stop has become true. Blocks; any thread. */
void program_check_run(struct program_check *k, const atomic_bool *stop);

#endif
