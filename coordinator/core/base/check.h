/* check.h */
#ifndef FM_CORE_BASE_CHECK_H
#define FM_CORE_BASE_CHECK_H

#include <stdint.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "id.h"

#define MAX_NAME 128
#define MAX_INPUT_BYTES (1024u * 1024)
#define MAX_LABELS 64
#define MAX_LABEL_BYTES 256

/* 1 to 128 of A-Z a-z 0-9 _ . - . */
int check_name(const char *field, const char *value, struct fm_err *err);
/* At most 1000; 0 becomes 100. */
int check_page(uint32_t page_size, uint32_t *ret, struct fm_err *err);
/* The encoded message (may be NULL) has at most 1 MiB. */
int check_size(const char *field, const void *message, struct fm_err *err);
int check_request_id(const char *id, struct fm_err *err);
/* Free text of at most 4 KiB. */
int check_text(const char *field, const char *value, struct fm_err *err);
int check_label(const char *field, const char *key, const char *value, struct fm_err *err);
int check_placement(const Fermata__V1__Placement *p, struct fm_err *err);
int check_label_count(size_t n, struct fm_err *err);
int check_job_id(const char *text, struct fm_id *ret, struct fm_err *err);

#endif
