/* What a jq program is given and puts out. libjq (1.6) has doubles only; so integers beyond ±2^53
 * go into a program in one of several forms, and what comes out says by comparison whether the program
 * only passed them on. Private to the worker. */
#ifndef FM_JQ_VALUES_H
#define FM_JQ_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fermata/value.h>

#include <jv.h>

#include "arena.h"
#include "buf.h"
#include "number.h"

/* How such integers stand in the input. */
enum jq_form {
    JQ_NEAREST, /* the nearest double */
    JQ_TEXT,    /* their digits, as a string */
    JQ_TOKEN,   /* a string that no program can do anything with */
    JQ_STAND_IN /* a double at random, in the same order among themselves */
};

/* One that occurs in the input; equal ones are one. */
struct jq_integer {
    struct number n;
    const char *path; /* where it first stands, in jq's notation */
    bool hidden;      /* in the forms TOKEN and STAND_IN; else it is the nearest double */
};

struct jq_integers {
    struct jq_integer *items; /* in their order */
    size_t n;
    bool in_json;    /* inside texts a token in quotation marks is one, as tojson writes it */
    uint64_t secret; /* tells tokens and stand-ins from what may else occur */
};

/* Whether a JSON text may have any, at a glance. */
bool jq_may_have_integers(const char *json, size_t n);
/* Collects them, all hidden, with the arena's memory. False when that is used up. */
bool jq_find_integers(const struct fm_value *v, struct fm_arena *a, uint64_t secret, struct jq_integers *ret);
/* The input, with the integers in this form. */
jv jq_input(const struct fm_value *v, const struct jq_integers *all, enum jq_form form);

/* What tokens and stand-ins become in what is written. */
enum jq_as {
    JQ_AS_NEAREST, /* their nearest doubles */
    JQ_AS_EXACT,   /* themselves */
    JQ_AS_LOOSE    /* for comparing with tokens, which are strings: their nearest doubles, and a string that
                      is the text of a large number is that number */
};
#define JQ_OUTPUT_DEPTH 256

/* Appends an output as JSON: integers with all their digits, what was put for the integers of the input put
 * back; also inside strings and keys, as tostring has it. `all` may be NULL. Takes v. False when it is
 * nested more deeply than JQ_OUTPUT_DEPTH, or has a NUL character. */
bool jq_write(jv v, const struct jq_integers *all, enum jq_form form, enum jq_as as, struct fm_buf *out);

/* Appends a text that is no JSON, such as a message, in the same way. */
void jq_write_text(const char *s, const struct jq_integers *all, enum jq_form form, enum jq_as as,
                   struct fm_buf *out);

#endif
