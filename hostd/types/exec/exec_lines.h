/* What programs say: one JSON object a line. docs/exec.md has all of them. */
#ifndef FM_EXEC_LINES_H
#define FM_EXEC_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include <fermata/routine.h>

#define EXEC_PROTOCOL 1 /* its version; new lines and keys do not make another one */

/* A program at work on a task. */
struct exec_run {
    const char *id; /* of the task, in mode serve: each line must carry it; else NULL */
    size_t lines;   /* that it has said */
    bool done, failed;
};

/* Does what a line says; `arg` is a struct exec_run. A fm_line_callback: 0; 1 when the task is done (in
 * mode serve); -1 after fm_ctx_fail. */
int exec_line(struct fm_ctx *ctx, void *arg, const char *line, size_t n);

#endif
