/* A job that came in a message which this host cannot read: it is given back, and the stream goes on. Else
 * one job would cost the host all others, again and again. */
#ifndef FM_ENGINE_UNREADABLE_H
#define FM_ENGINE_UNREADABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "fermata/v1/host_agent.pb.h"

struct session;

/* Whose message it was. */
struct unreadable {
    char id[27]; /* "": nobody's */
    uint32_t epoch;
};

/* Reads of an encoded message only what can be read whatever is in it: seq, ack and kind into `m`, and the
 * job that is assigned or gets inputs. False when it is no such message, or names no job. */
bool unreadable_job(struct fm_bytes message, fermata_v1_CoordinatorMessage *m, struct unreadable *ret_job);
/* Gives the job back as refused, and drops what the host has of it under that or an earlier epoch. */
void unreadable_refuse(struct session *s, const struct unreadable *job, const char *why);

#endif
