/* What the parts of the bench share: results, the cluster under load, a client that drives jobs. */
#ifndef FM_BENCH_H
#define FM_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "cluster.h"

/* ---- results (bench_report.c) ---- */

/* One measured number. */
struct bench_result {
    char work[8];
    char name[80];
    char unit[16];
    double value, goal, ratio;
    bool more_is_better;
    char ratio_of[40];  /* what it is a multiple of, as in "27 raw calls"; empty: nothing */
    const double *base; /* divides `ratio`, when all rounds of the baselines are done; NULL: nothing */
    bool value_is_ratio;
    bool at_least_one; /* a ratio below 1 cannot be: the machine was not quiet */
    double rounds[3];  /* of a baseline: what each round gave; the value is their median */
    size_t n_rounds;
};

/* Returns the result, so that its ratio can be set. goal: 0 when there is none; a limit, unless more is
 * better (rates and percentages). */
struct bench_result *bench_result(const char *work, const char *unit, double value, double goal,
                                  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void bench_ratio(struct bench_result *r, double ratio, const char *of);
/* Its ratio is `amount` by a baseline, which is known when all have been measured. */
void bench_against(struct bench_result *r, double amount, const double *baseline, const char *of);
/* The result itself is `amount` by a baseline. */
void bench_value_against(struct bench_result *r, double amount, const double *baseline);
void bench_rounds(struct bench_result *r, const double *values, size_t n);
/* A point of W4, for the plot and the JSON. bytes: on disk, a paused job. */
void bench_point(double jobs, double coordinator_mb, double host_mb, double start_ms, double w1_ms,
                 double bytes);
void bench_print(FILE *f);
/* Writes result.json, result.md and, if W4 was measured, result.svg into the directory; with `only`,
 * result-ONLY.json and so on. Returns false and says why when it cannot. */
bool bench_write(const char *dir, const char *scale, const char *only);

/* ---- the run and the machine (bench_about.c) ---- */

/* At the start of the run: what is known of the machine, and its load. */
void bench_about_start(void);
/* Others kept the cores busy when the run began: a load of more than twice the cores. */
bool bench_about_busy(char *out, size_t n);
/* With the load at the end: {date, version, commit, machine:{…}, load_start, load_end}. */
json_t *bench_about(void);

/* ---- sizes ---- */

struct bench_sizes {
    const char *name;
    size_t w1_jobs, w1_many; /* at concurrency 1; at 64 */
    size_t w2_jobs, w2_many;
    size_t w3_turns;
    size_t w4_real;      /* paused jobs made by the daemons */
    size_t w4_points[4]; /* paused jobs in the store; those beyond w4_real are written through the store */
    size_t w5_tasks;
    size_t w6_calls;
    unsigned w6_seconds;
    size_t w7_rounds;
    size_t w8_rounds;
    size_t demo_jobs;
    size_t raw_calls, raw_rows;
};

/* ---- baselines of the same run (bench_base.c) ---- */

struct bench_base {
    double call_us;          /* unary echo, one at a time */
    double call_64_us;       /* of 64 at a time, by calls */
    double message_us;       /* in a stream, of 600 bytes */
    double append_us;        /* write and fdatasync of 4 KiB that make the file longer */
    double overwrite_us;     /* … of 4 KiB of the file */
    double sqlite_commit_us; /* of one step */
    double sqlite_steps_s;   /* with 256 in a commit: steps a second */
};
/* Measures once more; at most three times. */
void bench_base_round(const struct bench_sizes *sizes);
/* The medians of the rounds, and results of them. */
void bench_base_done(struct bench_base *ret);

/* ---- load (bench_load.c) ---- */

struct bench_load {
    const char *flow, *routine, *slot; /* a stored flow and its entry */
    size_t items;                      /* the data has a list of so many numbers */
    const char *answer;                /* NULL: a job is over for the client when it is paused */
    size_t jobs, concurrency;
    /* results */
    double seconds;
    int64_t *paused_us,
        *completed_us; /* per job: submit to (first) pause; (last) answer, or submit, to the end */
    uint64_t steps;    /* of all jobs, as their records say */
    size_t failed;
    char last_job[32];
};
void bench_run(struct cluster *c, struct bench_load *l);
void bench_load_done(struct bench_load *l);
int64_t bench_quantile(int64_t *list, size_t n, double q);

/* ---- processes (bench_proc.c) ---- */

/* Of /proc/PID/status, in KB (VmRSS, VmHWM) or as it is (Threads). */
long bench_status(pid_t pid, const char *key);
/* Processor time so far, in seconds. */
double bench_cpu(pid_t pid);
/* Bytes written so far, to files and sockets. */
double bench_written(pid_t pid);
double bench_now(void);

/* ---- the store (bench_store.c) ---- */

/* Adds n jobs like the stored job `like` (a paused one) through the store's own code. The coordinator must be
 * stopped. */
void bench_store_fill(const char *dir, const char *like, size_t n);
/* Bytes of the database after what is in the log has been moved into it. Coordinator stopped. */
double bench_store_bytes(const char *dir);
/* Bytes of step and input `number` of a job. */
double bench_store_turn(const char *dir, const char *job, uint32_t number);
/* Encode and decode of the stored job's state: microseconds each. */
void bench_store_codec(const char *dir, const char *job, size_t rounds, double *ret_bytes, double *ret_encode,
                       double *ret_decode);

#endif
