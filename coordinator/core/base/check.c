/* Checks of the fields that requests have in common. Each names the field, what is wrong and what is allowed.
 */
#include "check.h"

#include <string.h>

#include "agreed.h"
#include "err.h"
#include "fermata/v1/types.pb-c.h"
#include "fields.h"
#include "id.h"
#include "name.h"
#include "times.h"

#define MAX_NANOS 999999999

int check_page(uint32_t page_size, uint32_t *ret, struct fm_err *err)
{
    if (page_size > 1000)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "page_size", "page_size is %u; the limit is 1000",
                          page_size);
    *ret = page_size == 0 ? 100 : page_size;
    return 0;
}

int check_size(const char *field, const void *message, struct fm_err *err)
{
    size_t n = message == NULL ? 0 : protobuf_c_message_get_packed_size(message);
    if (n > MAX_INPUT_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, field, "%s has %zu bytes; the limit is %u", field, n,
                          MAX_INPUT_BYTES);
    return 0;
}

int check_request_id(const char *id, struct fm_err *err)
{
    size_t n = strlen(id);
    if (n > FM_MAX_NAME_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "request_id", "request_id has %zu bytes; the limit is %d",
                          n, FM_MAX_NAME_BYTES);
    return 0;
}

int check_text(const char *field, const char *value, struct fm_err *err)
{
    size_t n = strlen(value);
    if (n > 4096)
        return fm_err_set(err, FM_INVALID_ARGUMENT, field, "%s has %zu bytes; the limit is 4096", field, n);
    return 0;
}

int check_label(const char *field, const char *key, const char *value, struct fm_err *err)
{
    if (key[0] == '\0' || strlen(key) > FM_MAX_LABEL_BYTES || strlen(value) > FM_MAX_LABEL_BYTES)
        return fm_err_set(err, FM_INVALID_ARGUMENT, field,
                          "label \"%.64s\": key and value may have up to %d bytes, and the key at least 1",
                          key, FM_MAX_LABEL_BYTES);
    return 0;
}

int check_placement(const Fermata__V1__Placement *p, struct fm_err *err)
{
    if (p == NULL)
        return 0;
    if ((int)p->mode < 0 || (int)p->mode > PLACEMENT_MODE_SAME_HOST)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "placement.mode", "placement.mode %d is unknown",
                          (int)p->mode);
    if (p->host[0] != '\0' && fm_name_check("placement.host", p->host, err) < 0)
        return -FM_INVALID_ARGUMENT;
    if (p->anywhere && (p->host[0] != '\0' || p->n_labels > 0))
        return fm_err_set(err, FM_INVALID_ARGUMENT, "placement.anywhere",
                          "placement.anywhere is true, and a host or labels are named: only one may be");
    if (p->n_labels > FM_MAX_LABELS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "placement.labels", "%zu labels; the limit is %d",
                          p->n_labels, FM_MAX_LABELS);
    for (size_t i = 0; i < p->n_labels; i++)
        if (check_label("placement.labels", p->labels[i]->key, p->labels[i]->value, err) < 0)
            return -FM_INVALID_ARGUMENT;
    return 0;
}

int check_label_count(size_t n, struct fm_err *err)
{
    if (n > FM_MAX_LABELS)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "labels", "%zu labels; the limit is %d", n,
                          FM_MAX_LABELS);
    return 0;
}

int check_job_id(const char *text, struct fm_id *ret, struct fm_err *err)
{
    if (fm_id_parse(text, ret) < 0)
        return fm_err_set(err, FM_INVALID_ARGUMENT, "job_id",
                          "\"%.64s\" is not a job id; one has 26 characters", text);
    return 0;
}

int check_time(const char *field, const Google__Protobuf__Timestamp *t, struct fm_err *err)
{
    if (t == NULL || (t->seconds >= FM_MIN_SECONDS && t->seconds <= FM_MAX_SECONDS && t->nanos >= 0 &&
                      t->nanos <= MAX_NANOS))
        return 0;
    return fm_err_set(
        err, FM_INVALID_ARGUMENT, field,
        "%s is %lld s and %d ns after 1970; a time of the years 1 to 9999 is wanted, with 0 to %d "
        "ns",
        field, (long long)t->seconds, t->nanos, MAX_NANOS);
}
