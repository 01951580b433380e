/* Errors. See err.h. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"

static void set_field(char *out, size_t n, const char *field)
{
    snprintf(out, n, "%s", field == NULL ? "" : field);
    fm_utf8_mend(out, strlen(out));
}

int fm_err_set(struct fm_err *err, enum fm_code code, const char *field, const char *fmt, ...)
{
    if (err == NULL)
        return -(int)code;
    va_list ap;
    char msg[sizeof(err->msg)];
    va_start(ap, fmt);
    fm_utf8_format(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    free(err->more);
    err->more = NULL;
    err->n_more = err->n_cut = 0;
    err->retry_ms = 0;
    err->code = code;
    set_field(err->field, sizeof(err->field), field);
    memcpy(err->msg, msg, sizeof(msg));
    return -(int)code;
}

int fm_err_add(struct fm_err *err, enum fm_code code, const char *field, const char *fmt, ...)
{
    if (err == NULL)
        return -(int)code;
    va_list ap;
    struct fm_violation v;
    set_field(v.field, sizeof(v.field), field);
    va_start(ap, fmt);
    fm_utf8_format(v.msg, sizeof(v.msg), fmt, ap);
    va_end(ap);
    if (err->code == FM_OK)
        return fm_err_set(err, code, field, "%s", v.msg);
    if (err->more == NULL) {
        err->more = fm_xcalloc(FM_MAX_VIOLATIONS, sizeof(*err->more));
        memcpy(err->more[0].field, err->field, sizeof(err->more[0].field));
        snprintf(err->more[0].msg, sizeof(err->more[0].msg), "%.*s", (int)sizeof(err->more[0].msg) - 1,
                 err->msg);
        fm_utf8_mend(err->more[0].msg, strlen(err->more[0].msg));
        err->n_more = 1;
    }
    if (err->n_more == FM_MAX_VIOLATIONS)
        err->n_cut++;
    else
        err->more[err->n_more++] = v;
    return -(int)err->code;
}

int fm_err_retry(struct fm_err *err, unsigned ms)
{
    if (err == NULL)
        return -FM_UNKNOWN;
    err->retry_ms = ms;
    return -(int)err->code;
}

void fm_err_wrap(struct fm_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return;
    char context[256];
    va_list ap;
    va_start(ap, fmt);
    fm_utf8_format(context, sizeof(context), fmt, ap);
    va_end(ap);
    size_t n = strlen(context), old = strlen(err->msg), room = sizeof(err->msg) - n - 3;
    if (old > room)
        old = room;
    memmove(err->msg + n + 2, err->msg, old);
    memcpy(err->msg, context, n);
    memcpy(err->msg + n, ": ", 2);
    err->msg[n + 2 + old] = '\0';
    fm_utf8_mend(err->msg, strlen(err->msg));
}

void fm_err_copy(struct fm_err *dst, const struct fm_err *src)
{
    *dst = *src;
    if (src->more == NULL)
        return;
    dst->more = fm_xcalloc(FM_MAX_VIOLATIONS, sizeof(*dst->more));
    memcpy(dst->more, src->more, src->n_more * sizeof(*dst->more));
}

void fm_err_done(struct fm_err *err)
{
    free(err->more);
    memset(err, 0, sizeof(*err));
}

const char *fm_code_name(int code)
{
    static const char *const names[] = {
        "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED"};
    return code >= 0 && code < (int)(sizeof(names) / sizeof(names[0])) ? names[code] : "UNKNOWN";
}
