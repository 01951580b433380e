/* What the clients of a run have sent and what was acknowledged: what the oracle compares the store with. */
#ifndef FM_CHAOS_LEDGER_H
#define FM_CHAOS_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define MAX_INPUTS 4

enum outcome {
    NOT_SENT,
    UNKNOWN, /* sent, never acknowledged: it may have happened once */
    ACKED,   /* it must have happened, once */
    REFUSED  /* it must not have happened */
};

/* A submit with all that was sent to its job. Tokens: "s<no>", "i<no>.<k>", "a<no>". */
struct entry {
    uint32_t no;
    char job_id[27]; /* "" until a submit was acknowledged */
    enum outcome submit, answer, late_answer, cancel;
    enum outcome inputs[MAX_INPUTS];
    uint32_t epoch, steps, revision; /* the greatest that was seen */
    bool ended;
};

/* A new entry, which lives until ledger_free. On the loop's thread while it runs. */
struct entry *ledger_add(void);
uint32_t ledger_count(void);
struct entry *ledger_at(uint32_t no); /* from 0; NULL beyond the end */
void ledger_free(void);

#endif
