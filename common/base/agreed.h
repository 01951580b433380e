/* What both daemons must agree on: an agreement of the protocol, or a limit that one of them
 * keeps and the other checks. Limits of one daemon alone stand with it. */
#ifndef FM_AGREED_H
#define FM_AGREED_H

#include <stdint.h>

/* Hello's protocol_version. */
#define FM_PROTOCOL_VERSION 1

/* What a message may have at most: from a host, and to a host (an Assign: a state of up to 16
 * MiB and what goes with it). */
#define FM_MAX_FROM_HOST_BYTES (20u * 1024 * 1024)
#define FM_MAX_TO_HOST_BYTES (64u * 1024 * 1024)

/* Names of flows, routines, slots, events, types, hosts; their characters are in name.h. */
#define FM_MAX_NAME_BYTES 128
/* Labels of a job or a host, and each of their keys and values. */
#define FM_MAX_LABELS 64
#define FM_MAX_LABEL_BYTES 256
/* A key of a routine's state, of shared data, or of a scheduled task. */
#define FM_GRACE_WITHOUT_END UINT32_MAX /* Interrupt.grace_ms: the step in hand is waited for */
#define FM_MAX_KEY_BYTES 256
/* The text of a Progress. */
#define FM_MAX_PROGRESS_BYTES 65536
/* Priorities are from -FM_MAX_PRIORITY to FM_MAX_PRIORITY. */
#define FM_MAX_PRIORITY 1000
/* How many elements each list of a step may have (changes, tasks, log, …), and how many questions. */
#define FM_MAX_STEP_ITEMS 150000
#define FM_MAX_STEP_PAUSES 1000
/* How often a question may be given to somebody else. */
#define FM_MAX_ESCALATIONS 16
/* Why a question is withdrawn. */
#define FM_MAX_REASON_BYTES 1000
/* How many questions of a job's steps may be open at a time. */
#define FM_MAX_OPEN_QUESTIONS 10000
/* How many connections the events of a step may meet, each event all that lead from it: a tenth of a second.
 */
#define FM_MAX_STEP_ROUTES 2000000
/* What a step's model calls may have used: tokens of each kind, calls, money; and where the sums of
 * a job stay when they have come there (tokens: what a double holds exactly). */
#define FM_MAX_STEP_TOKENS 1000000000000ull
#define FM_MAX_STEP_CALLS 1000000u
#define FM_MAX_STEP_COST 1e9
#define FM_MAX_SUM_TOKENS 9007199254740991ull
#define FM_MAX_SUM_COST 1e15
/* How far ahead a task, a retry or the end of a question may be: ten years. */
#define FM_MAX_AHEAD_MS (10ull * 366 * 86400 * 1000)
/* How long a time in a flow's settings may be: a year. */
#define FM_MAX_SETTING_MS (366ull * 86400 * 1000)

#endif
