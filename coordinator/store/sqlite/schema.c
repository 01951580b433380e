/* The schema of the SQLite store. See schema.h, schema.sql. */
#include "schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fields.h"
#include "log.h"
#include "mem.h"
#include "schema_sql.h"
#include "wire.h"

#define QUICK_CHECK_BYTES (256 * 1024 * 1024)

/* What leads to version i + 2. */
static const uint8_t *const migrations[] = {sql_migration_2, sql_migration_3, sql_migration_4,
                                            sql_migration_5, sql_migration_6, sql_migration_7,
                                            sql_migration_8};
_Static_assert(sizeof(migrations) / sizeof(migrations[0]) == SCHEMA_VERSION - 1,
               "a migration to each version");

/* Damage is looked for in the whole of a small store; in a large one only in what is read while
 * opening, for it would take minutes. */
static int check_integrity(struct sql_conn *c, struct fm_err *err)
{
    struct stat st;
    if (stat(c->path, &st) == 0 && st.st_size > QUICK_CHECK_BYTES) {
        FM_LOG(INFO, STORAGE, "the store is large: its full check is left out", FM_I64("bytes", st.st_size));
        return 0;
    }
    fm_autofree char *damage = NULL;
    int rc = sql_quick_check(c->db, &damage);
    if (rc != SQLITE_OK)
        return sql_error(c, rc, "integrity check", err);
    if (damage != NULL)
        return fm_err_set(err, FM_DATA_LOSS, "data", "the store %s is damaged (%s): restore it from a backup",
                          c->path, damage);
    return 0;
}

/* Ends the transaction, at the present version. */
static int commit(struct sql_conn *c, const char *what, struct fm_err *err)
{
    char end[128];
    (void)snprintf(end, sizeof(end), "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT;",
                   APPLICATION_ID, SCHEMA_VERSION);
    return sql_run(c, end, what, err);
}

static int create(struct sql_conn *c, struct fm_err *err)
{
    static const char what[] = "create the schema";
    static const char begin[] =
        "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; BEGIN IMMEDIATE;";
    int rc = sql_run(c, begin, "create", err);
    if (rc == 0)
        rc = sql_run(c, (const char *)sql_schema, what, err);
    return rc == 0 ? commit(c, what, err) : rc;
}

/* For 0006.sql: the field flow_version of a head; 0 for one that is malformed. */
static void job_flow_version(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    (void)n;
    const void *p = sqlite3_value_blob(args[0]);
    struct wire_reader r = wire_reader((struct fm_bytes){p, (size_t)sqlite3_value_bytes(args[0])});
    uint32_t field;
    enum wire_type type;
    uint64_t val, found = 0;
    struct fm_bytes len;
    while (wire_next(&r, &field, &type, &val, &len) > 0)
        if (field == FIELD_JOB_FLOW_VERSION && val <= UINT32_MAX)
            found = val;
    sqlite3_result_int64(ctx, (sqlite3_int64)found);
}

static int migrate(struct sql_conn *c, int64_t version, struct fm_err *err)
{
    static const char what[] = "migrate the schema";
    FM_LOG(INFO, STORAGE, "the store's schema is brought up to date", FM_I64("from", version),
           FM_U64("version", SCHEMA_VERSION));
    int rc = sqlite3_create_function(c->db, "job_flow_version", 1, SQLITE_UTF8, NULL, job_flow_version, NULL,
                                     NULL);
    rc = rc == SQLITE_OK ? sql_run(c, "BEGIN IMMEDIATE", what, err) : sql_error(c, rc, what, err);
    for (int64_t v = version; v < SCHEMA_VERSION && rc == 0; v++)
        rc = sql_run(c, (const char *)migrations[v - 1], what, err);
    return rc == 0 ? commit(c, what, err) : rc;
}

int schema_version(struct sql_conn *c, int64_t *ret, struct fm_err *err)
{
    int64_t app = 0;
    int rc = sql_number(c, "PRAGMA application_id", &app, err);
    if (rc == 0 && app != APPLICATION_ID)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data", "%s is a database of another program",
                          c->path);
    return rc == 0 ? sql_number(c, "PRAGMA user_version", ret, err) : rc;
}

int schema_prepare(struct sql_conn *c, struct fm_err *err)
{
    int64_t tables = 0, version = 0;
    int rc = sql_number(c, "SELECT count(*) FROM sqlite_schema", &tables, err);
    if (rc == 0 && tables == 0)
        return create(c, err);
    if (rc == 0)
        rc = schema_version(c, &version, err);
    if (rc < 0)
        return rc;
    if (version > SCHEMA_VERSION)
        return fm_err_set(
            err, FM_FAILED_PRECONDITION, "data",
            "%s has schema version %lld; this coordinator knows versions up to %d: use a newer coordinator",
            c->path, (long long)version, SCHEMA_VERSION);
    if (version < 1)
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data",
                          "%s has schema version %lld, which does not exist", c->path, (long long)version);
    rc = version < SCHEMA_VERSION ? migrate(c, version, err) : 0;
    return rc == 0 ? check_integrity(c, err) : rc;
}
