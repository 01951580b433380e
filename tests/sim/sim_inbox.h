/* Who lists the open questions of all jobs. */
#ifndef SIM_INBOX_H
#define SIM_INBOX_H

#include "sim.h"

/* Begins to list them, or asks for the next page. */
void inbox_list(void);
/* A page has come; err: none will. */
void inbox_page(struct fm_bytes r, const struct fm_err *err);
/* Something has come to the disk. */
void inbox_stored(void);
/* The coordinator has crashed. */
void inbox_forget(void);

#endif
