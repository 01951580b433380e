/* The faults of a run, drawn from its seed before it begins. Main thread. */
#ifndef FM_CHAOS_FAULTS_H
#define FM_CHAOS_FAULTS_H

#include <stdint.h>

/* Faults for this long, none of which reaches beyond it. */
void faults_plan(uint64_t seed, int64_t duration_ms);
/* Begins and ends what is due at this time since the beginning. */
void faults_turn(int64_t at_ms);
/* Ends all: everything runs and every link is sound again. */
void faults_heal(void);
/* How many of each were begun. */
void faults_report(void);

#endif
