/* Checks of the fields that requests have in common: each names the field, what is wrong and what is allowed.
 */
#ifndef FM_CORE_BASE_CHECK_H
#define FM_CORE_BASE_CHECK_H

#include <stdint.h>

#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "id.h"
#include "name.h"

#define MAX_INPUT_BYTES (1024u * 1024)

/* At most 1000; 0 becomes 100. */
int check_page(uint32_t page_size, uint32_t *ret, struct fm_err *err) FM_MUST_CHECK;
/* The encoded message (may be NULL) has at most 1 MiB. */
int check_size(const char *field, const void *message, struct fm_err *err) FM_MUST_CHECK;
int check_request_id(const char *id, struct fm_err *err) FM_MUST_CHECK;
/* Free text of at most 4 KiB. */
int check_text(const char *field, const char *value, struct fm_err *err) FM_MUST_CHECK;
int check_label(const char *field, const char *key, const char *value, struct fm_err *err) FM_MUST_CHECK;
int check_placement(const Fermata__V1__Placement *p, struct fm_err *err) FM_MUST_CHECK;
/* A time of the years 1 to 9999, or none (NULL). */
int check_time(const char *field, const Google__Protobuf__Timestamp *t, struct fm_err *err) FM_MUST_CHECK;
int check_label_count(size_t n, struct fm_err *err) FM_MUST_CHECK;
int check_job_id(const char *text, struct fm_id *ret, struct fm_err *err) FM_MUST_CHECK;

#endif
