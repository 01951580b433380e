/* Errors as google.rpc.Status, with their details. */
#include <stdio.h>

#include "buf.h"
#include "err.h"
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "server_calls.h"

/* What a program finds in the trailer. Clients on the C core refuse trailers above 8 KiB and would show that
 * instead of the error: base64 makes four bytes of three, and the message stands in a header of its own,
 * percent-encoded. */
#define MAX_DETAILS_BYTES 4000u

static void add_any(Google__Rpc__Status *status, Google__Protobuf__Any *any, const char *type,
                    struct fm_buf *buf, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    fm_buf_reserve(buf, n);
    buf->n = protobuf_c_message_pack(m, buf->p);
    google__protobuf__any__init(any);
    any->type_url = (char *)(uintptr_t)type;
    any->value = (ProtobufCBinaryData){buf->n, buf->p};
    status->details[status->n_details++] = any;
}

/* The first n violations; an error with a field of its own and no list has one. */
static void pack_bad_request(const struct fm_err *err, size_t n, Google__Rpc__Status *status,
                             Google__Protobuf__Any *any, struct fm_buf *buf)
{
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    Google__Rpc__BadRequest__FieldViolation v[FM_MAX_VIOLATIONS], *pointers[FM_MAX_VIOLATIONS];
    for (size_t i = 0; i < n; i++) {
        google__rpc__bad_request__field_violation__init(&v[i]);
        v[i].field = (char *)(uintptr_t)(err->n_more > 0 ? err->more[i].field : err->field);
        v[i].description = (char *)(uintptr_t)(err->n_more > 0 ? err->more[i].msg : err->msg);
        pointers[i] = &v[i];
    }
    bad.field_violations = pointers;
    bad.n_field_violations = n;
    add_any(status, any, "type.googleapis.com/google.rpc.BadRequest", buf, &bad.base);
}

static void pack_error_info(const struct fm_err *err, size_t left_out, Google__Rpc__Status *status,
                            Google__Protobuf__Any *any, struct fm_buf *buf)
{
    static char domain[] = "fermata.dev", key[] = "violations_left_out";
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry entry = GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT,
                                          *entries[] = {&entry};
    char count[24];
    info.reason = (char *)(uintptr_t)fm_code_name((int)err->code);
    info.domain = domain;
    if (left_out > 0) {
        snprintf(count, sizeof(count), "%zu", left_out);
        entry.key = key;
        entry.value = count;
        info.metadata = entries;
        info.n_metadata = 1;
    }
    add_any(status, any, "type.googleapis.com/google.rpc.ErrorInfo", buf, &info.base);
}

static void pack_retry_info(const struct fm_err *err, Google__Rpc__Status *status, Google__Protobuf__Any *any,
                            struct fm_buf *buf)
{
    Google__Rpc__RetryInfo info = GOOGLE__RPC__RETRY_INFO__INIT;
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    delay.seconds = err->retry_ms / 1000;
    delay.nanos = (int32_t)(err->retry_ms % 1000) * 1000000;
    info.retry_delay = &delay;
    add_any(status, any, "type.googleapis.com/google.rpc.RetryInfo", buf, &info.base);
}

static void pack_status(const struct fm_err *err, size_t n_violations, size_t left_out, struct fm_buf *out)
{
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    Google__Protobuf__Any any[3], *details[3];
    struct fm_buf bad = {0}, info = {0}, retry = {0};
    status.code = (int32_t)err->code;
    status.message = (char *)(uintptr_t)err->msg;
    status.details = details;
    if (n_violations > 0)
        pack_bad_request(err, n_violations, &status, &any[0], &bad);
    pack_error_info(err, left_out, &status, &any[1], &info);
    if (err->retry_ms > 0)
        pack_retry_info(err, &status, &any[2], &retry);
    fm_buf_reserve(out, protobuf_c_message_get_packed_size(&status.base));
    out->n = protobuf_c_message_pack(&status.base, out->p);
    fm_buf_done(&bad);
    fm_buf_done(&info);
    fm_buf_done(&retry);
}

void server_status_details(const struct fm_err *err, struct fm_buf *out)
{
    size_t all = err->n_more > 0 ? err->n_more : err->field[0] != '\0' ? 1 : 0;
    for (size_t n = all;; n = n * 3 / 4) {
        pack_status(err, n, all - n + err->n_cut, out);
        if (out->n <= MAX_DETAILS_BYTES || n <= 1)
            return;
    }
}
