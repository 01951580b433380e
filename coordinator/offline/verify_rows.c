/* Going through the rows of a store, and saying what is wrong. See verify_rows.h. */
#include "verify_rows.h"

#include <stdarg.h>
#include <stdlib.h>

#include "guard.h"
#include "mem.h"
#include "sql.h"
#include "wire.h"

void verify_fault(struct verify *v, const char *fmt, ...)
{
    va_list ap;
    v->faults++;
    va_start(ap, fmt);
    (void)vfprintf(v->out, fmt, ap);
    va_end(ap);
    fputc('\n', v->out);
}

static sqlite3_stmt *statement(struct verify *v, const char *sql)
{
    for (int i = 0; i < VERIFY_STATEMENTS; i++) {
        if (v->statements[i].sql == sql)
            return v->statements[i].s;
        if (v->statements[i].sql != NULL)
            continue;
        if (sqlite3_prepare_v2(v->db, sql, -1, &v->statements[i].s, NULL) != SQLITE_OK)
            return NULL;
        v->statements[i].sql = sql;
        return v->statements[i].s;
    }
    fm_abort("too many statements");
}

void verify_each(struct verify *v, const char *what, const char *sql, const struct fm_bytes *key,
                 void (*row)(struct verify *v, sqlite3_stmt *s, void *arg), void *arg)
{
    sqlite3_stmt *s = statement(v, sql);
    int rc = s == NULL ? SQLITE_ERROR : SQLITE_ROW;
    if (s != NULL && key != NULL)
        sql_bind_bytes(s, 1, *key);
    while (rc == SQLITE_ROW && (rc = sqlite3_step(s)) == SQLITE_ROW)
        row(v, s, arg);
    if (rc != SQLITE_DONE)
        verify_fault(v, "%s cannot be read: %s", what, sqlite3_errmsg(v->db));
    (void)sqlite3_reset(s);
}

void *verify_decode(const ProtobufCMessageDescriptor *d, struct fm_bytes body)
{
    const struct wire_limits any = {SIZE_MAX, WIRE_MAX_DEPTH, SIZE_MAX};
    fm_auto(fm_err) why = {0};
    bool sound = wire_check(wire_msg_of(d), body, &any, &why) == 0;
    return sound ? protobuf_c_message_unpack(d, NULL, body.n, body.p) : NULL;
}

void verify_rows_done(struct verify *v)
{
    struct verify_flow *f, *tmp;
    for (int i = 0; i < VERIFY_STATEMENTS; i++)
        (void)sqlite3_finalize(v->statements[i].s);
    HASH_ITER (hh, v->flows, f, tmp) {
        HASH_DEL(v->flows, f);
        free(f);
    }
    (void)sqlite3_close(v->db);
}
