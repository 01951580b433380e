/* Runs jq programs that nobody has vetted. libjq has no bound of its own: a program may loop for
 * ever, need any amount of memory, or crash its process. So programs run in worker processes
 * (this very program, started again with JQ_WORKER_ARG) without environment and input, whose
 * processor time and memory are limited by the kernel; one that goes beyond is gone, and the
 * next evaluation starts another. A worker keeps what it has compiled, so an evaluation costs
 * two messages over a socket and not a start.
 *
 * Thread-safe. A call blocks until there is a result. */
#ifndef FM_JQ_EVAL_H
#define FM_JQ_EVAL_H

#include <stdint.h>

#include "buf.h"
#include "err.h"

#define JQ_WORKER_ARG "--jq-worker"
#define JQ_MAX_PROGRAM_BYTES (16 * 1024)
#define JQ_MEMORY_BYTES (512ull * 1024 * 1024)

/* libjq knows doubles only. What becomes of integers of the input beyond ±2^53: */
enum jq_big_integers {
    JQ_BIG_EXACT, /* they are exact where the program only passes them on, compares them with each other
                     or puts them into text; a program for which they are more than that fails, with the
                     path of one. Found out by comparing three runs, so what such a program says of
                     the time (now) fails, too */
    JQ_BIG_TEXT,  /* the program sees their digits as a string */
    JQ_BIG_ROUND  /* it sees the nearest double */
};

struct jq_limits {
    uint32_t max_outputs, max_bytes; /* of all outputs as JSON */
    uint32_t cpu_ms;                 /* of all runs */
    enum jq_big_integers big_integers;
};

/* What a program has put out: `n` texts of JSON, each ended by NUL, one behind the other. */
struct jq_outputs {
    struct fm_buf text;
    size_t n;
    uint32_t cpu_us; /* processor time that it took, compiling included; also of a program that failed */
};

/* Runs a program on a JSON text (see jq_context.h). Returns 0 with the outputs for jq_outputs_done, or
 * -FM_INVALID_ARGUMENT: the program does not compile, uses modules, or has raised an error;
 * -FM_DEADLINE_EXCEEDED: it took too long; -FM_RESOURCE_EXHAUSTED: it needs too much memory, or
 * has too much output; -FM_UNAVAILABLE: no worker could be started. Only the last may be
 * different another time. */
int jq_eval(const char *program, struct fm_bytes json, const struct jq_limits *limits, struct jq_outputs *ret,
            struct fm_err *err) FM_MUST_CHECK;
void jq_outputs_done(struct jq_outputs *o);
/* Whether a program compiles, in a worker like any other: on some programs libjq's compiler
 * takes a thousand times longer than on others of the same size. Returns 0, or as jq_eval. */
int jq_check(const char *program, uint32_t cpu_ms, struct fm_err *err) FM_MUST_CHECK;

/* What a worker does until its parent has closed the socket on descriptor 0. The program's main
 * calls it when its only argument is JQ_WORKER_ARG, and exits with what it returns. */
int jq_worker_main(void);

/* ---- between the two: headers, each followed by the bytes it counts ---- */

struct jq_request {
    uint32_t program_bytes, json_bytes, max_outputs, max_bytes, cpu_ms;
    uint32_t compile_only; /* 1: then there is no JSON */
    uint32_t big_integers; /* enum jq_big_integers */
};

struct jq_reply {
    uint32_t code; /* FM_OK: outputs follow; else a message */
    uint32_t n, bytes, cpu_us;
};

#endif
