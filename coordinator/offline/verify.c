/* The offline check: the file, flows, hosts, and rows that belong to nothing. Jobs:
 * verify_job.c. See verify.h. It reads the tables itself, for it has to find what the store's
 * own interface does not show, and changes nothing. */
#define _GNU_SOURCE
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "digest.h"
#include "fermata/v1/flows.pb-c.h"
#include "fermata/v1/hosts.pb-c.h"
#include "fermata/v1/types.pb-c.h"
#include "mem.h"
#include "pbc.h"
#include "schema.h"
#include "sql.h"
#include "store_file.h"
#include "verify_job.h"
#include "verify_rows.h"

/* ---- flows, hosts, usage ---- */

static void check_definition(struct verify *v, sqlite3_stmt *s, void *unused)
{
    (void)unused;
    struct fm_bytes digest = sql_bytes(s, 0), body = sql_bytes(s, 1);
    uint8_t sum[STORE_DIGEST_BYTES];
    core_digest(body, sum);
    if (digest.n != sizeof(sum) || memcmp(digest.p, sum, sizeof(sum)) != 0) {
        verify_fault(v, "flow definition %s: its body does not match its digest", sql_text(s, 2));
        return;
    }
    fm_auto_pb Fermata__V1__Flow *flow = verify_decode(&fermata__v1__flow__descriptor, body);
    if (flow == NULL) {
        verify_fault(v, "flow definition %s is malformed", sql_text(s, 2));
        return;
    }
    struct verify_flow *f = fm_xcalloc(1, sizeof(*f));
    memcpy(f->digest, sum, sizeof(sum));
    f->parallel = flow->parallelism > 1;
    HASH_ADD(hh, v->flows, digest, sizeof(f->digest), f);
}

static void check_flow(struct verify *v, sqlite3_stmt *s, void *unused)
{
    (void)unused;
    const char *name = sql_text(s, 0);
    long long version = sqlite3_column_int64(s, 1);
    struct fm_bytes digest = sql_bytes(s, 2);
    struct verify_flow *f = NULL;
    if (digest.n == STORE_DIGEST_BYTES)
        HASH_FIND(hh, v->flows, digest.p, STORE_DIGEST_BYTES, f);
    if (f == NULL)
        verify_fault(v, "flow \"%s\" version %lld: it has no sound definition", name, version);
    fm_auto_pb Fermata__V1__FlowSummary *summary =
        verify_decode(&fermata__v1__flow_summary__descriptor, sql_bytes(s, 3));
    if (summary == NULL || strcmp(summary->name, name) != 0 || summary->version != version)
        verify_fault(v, "flow \"%s\" version %lld: its summary is malformed or another's", name, version);
}

static void check_host(struct verify *v, sqlite3_stmt *s, void *unused)
{
    (void)unused;
    fm_auto_pb Fermata__V1__Host *host = verify_decode(&fermata__v1__host__descriptor, sql_bytes(s, 1));
    if (host == NULL || strcmp(host->host_id, sql_text(s, 0)) != 0)
        verify_fault(v, "host \"%s\": its record is malformed or another's", sql_text(s, 0));
}

static void say_row(struct verify *v, sqlite3_stmt *s, void *what)
{
    verify_fault(v, "%s: %s", *(const char **)what, sql_text(s, 0));
}

/* Each row of the query is a fault. */
static void expect_none(struct verify *v, const char *table, const char *what, const char *sql)
{
    verify_each(v, table, sql, NULL, say_row, &what);
}

static void on_count(struct verify *v, sqlite3_stmt *s, void *ret)
{
    (void)v;
    *(int64_t *)ret = sqlite3_column_int64(s, 0);
}

/* A store of a version before TABLES_VERSION may be without some. */
static bool has_table(struct verify *v, const char *sql)
{
    int64_t n = 0;
    verify_each(v, "the schema", sql, NULL, on_count, &n);
    return n > 0;
}

static void check_rest(struct verify *v)
{
    if (v->has_generations)
        expect_none(v, "table generations", "generations of a job that is not in the store",
                    "SELECT DISTINCT hex(job) FROM generations WHERE job NOT IN (SELECT id FROM jobs)");
    if (v->has_entries)
        expect_none(v, "table entries", "entries of a job that is not in the store",
                    "SELECT DISTINCT hex(job) FROM entries WHERE job NOT IN (SELECT id FROM jobs)");
    if (has_table(v, "SELECT count(*) FROM sqlite_schema WHERE name='hosts'"))
        verify_each(v, "table hosts", "SELECT id, body FROM hosts", NULL, check_host, NULL);
    if (has_table(v, "SELECT count(*) FROM sqlite_schema WHERE name='usage'"))
        expect_none(
            v, "table usage", "a row of usage is malformed (day, job)",
            "SELECT day||' '||hex(job) FROM usage WHERE typeof(day)<>'integer' OR day<0 OR length(job)<>16 "
            "OR typeof(input)<>'integer' OR input<0 OR typeof(output)<>'integer' OR output<0 "
            "OR typeof(cached)<>'integer' OR cached<0 OR typeof(calls)<>'integer' OR calls<0 "
            "OR typeof(cost)<>'real' OR cost<0");
    expect_none(v, "table requests", "a row of requests is malformed",
                "SELECT scope||' '||request_id FROM requests WHERE length(job)<>16 OR length(digest)<>32");
    expect_none(v, "table records", "steps or inputs of a job that is not in the store",
                "SELECT DISTINCT hex(job) FROM records WHERE job NOT IN (SELECT id FROM jobs)");
    expect_none(v, "table snapshots", "snapshot of a job that is not in the store",
                "SELECT hex(job) FROM snapshots WHERE job NOT IN (SELECT id FROM jobs)");
    expect_none(v, "table labels", "labels of a job that is not in the store",
                "SELECT DISTINCT hex(job) FROM labels WHERE job NOT IN (SELECT id FROM jobs)");
    expect_none(v, "table bodies", "bodies that are of no step or input",
                "SELECT n FROM (SELECT count(*) AS n FROM bodies WHERE id NOT IN (SELECT at FROM records)) "
                "WHERE n>0");
    expect_none(v, "table records", "steps or inputs that share the body of another",
                "SELECT n FROM (SELECT count(*)-count(DISTINCT at) AS n FROM records) WHERE n>0");
}

/* ---- the file ---- */

static int find_file(const char *path, char **ret, struct fm_err *err)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return fm_err_set(err, FM_NOT_FOUND, "data", "there is no directory or file %s", path);
    fm_autofree char *file = NULL;
    if (asprintf(&file, S_ISDIR(st.st_mode) ? "%s/fermata.db" : "%s", path) < 0)
        fm_abort_oom(0);
    if (stat(file, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return fm_err_set(err, FM_NOT_FOUND, "data", "there is no store in %s", path);
    *ret = fm_take(file);
    return 0;
}

/* Keeps a coordinator away. A file without a lock beside it (a backup) is nobody's: then *ret_fd
 * is -1. */
static int keep_away(const char *file, int *ret_fd, struct fm_err *err)
{
    const char *slash = strrchr(file, '/'), *base = slash == NULL ? file : slash + 1;
    fm_autofree char *lock = NULL;
    *ret_fd = -1;
    if (strcmp(base, "fermata.db") != 0)
        return 0;
    if (asprintf(&lock, "%.*sfermata.lock", (int)(base - file), file) < 0)
        fm_abort_oom(0);
    int fd = open(lock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return fm_err_set(err, FM_PERMISSION_DENIED, "data", "%s cannot be opened: %s", lock,
                          strerror(errno));
    if (flock(fd, LOCK_SH | LOCK_NB) < 0) {
        char pid[32];
        store_lock_holder(fd, pid);
        close(fd);
        return fm_err_set(err, FM_FAILED_PRECONDITION, "data", "another coordinator (pid %s) uses %s", pid,
                          file);
    }
    *ret_fd = fd;
    return 0;
}

/* A log beside it has what a killed coordinator committed last, and SQLite must read it; without
 * one the file is all there is, and SQLite is told to make no files of its own. */
static char *uri_of(const char *file)
{
    fm_autofree char *log = NULL;
    struct stat st;
    if (asprintf(&log, "%s-wal", file) < 0)
        fm_abort_oom(0);
    bool has_log = stat(log, &st) == 0 && st.st_size > 0;
    fm_auto(fm_buf) b = {0};
    fm_buf_append(&b, "file:", 5);
    if (file[0] == '/')
        fm_buf_append(&b, "//", 2);
    for (const char *p = file; *p != '\0'; p++) {
        char hex[4];
        snprintf(hex, sizeof(hex), "%%%02x", (unsigned char)*p);
        bool plain = *p != '%' && *p != '?' && *p != '#';
        fm_buf_append(&b, plain ? p : hex, plain ? 1 : 3);
    }
    const char *end = has_log ? "?mode=ro" : "?mode=ro&immutable=1";
    fm_buf_append(&b, end, strlen(end) + 1);
    return (char *)fm_buf_take(&b).p;
}

/* They stand before the tables of the same name, and are only this connection's. */
static const char without_sums[] = "CREATE TEMP VIEW jobs AS SELECT *, NULL AS sum FROM main.jobs;"
                                   "CREATE TEMP VIEW bodies AS SELECT *, NULL AS sum FROM main.bodies;"
                                   "CREATE TEMP VIEW snapshots AS SELECT *, NULL AS sum FROM main.snapshots;";

static int check_schema(struct sql_conn *c, struct fm_err *err)
{
    int64_t version = 0;
    int rc = schema_version(c, &version, err);
    if (rc < 0)
        return rc;
    if (version < SUMS_VERSION - 1 || version > SCHEMA_VERSION)
        return fm_err_set(
            err, FM_FAILED_PRECONDITION, "data",
            "%s has schema version %lld; this coordinator checks versions %d to %d%s", c->path,
            (long long)version, SUMS_VERSION - 1, SCHEMA_VERSION,
            version < SCHEMA_VERSION ? ": start it on the store once, and it is brought up to date" : "");
    return version < SUMS_VERSION ? sql_run(c, without_sums, "views", err) : 0;
}

static void say_damage(struct verify *v, sqlite3_stmt *s, void *unused)
{
    (void)unused;
    if (strcmp(sql_text(s, 0), "ok") != 0)
        verify_fault(v, "the file is damaged: %s", sql_text(s, 0));
}

static void check_all(struct verify *v)
{
    verify_each(v, "the file", "PRAGMA integrity_check(20)", NULL, say_damage, NULL);
    verify_each(v, "table flow_defs", "SELECT digest, body, lower(hex(digest)) FROM flow_defs", NULL,
                check_definition, NULL);
    verify_each(v, "table flows", "SELECT name, version, digest, summary FROM flows", NULL, check_flow, NULL);
    v->has_generations = has_table(v, "SELECT count(*) FROM sqlite_schema WHERE name='generations'");
    v->has_entries = has_table(v, "SELECT count(*) FROM sqlite_schema WHERE name='entries'");
    verify_each(v, "table jobs", "SELECT id, status, flow, host, head, wake, sum FROM jobs ORDER BY id DESC",
                NULL, verify_job, NULL);
    check_rest(v);
}

int store_verify(const char *path, FILE *out, struct fm_err *err)
{
    struct verify v = {.out = out};
    fm_autofree char *file = NULL;
    fm_autoclose int lock = -1;
    if (find_file(path, &file, err) < 0 || keep_away(file, &lock, err) < 0)
        return -(int)err->code;
    fm_autofree char *uri = uri_of(file);
    int rc = sqlite3_open_v2(uri, &v.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    struct sql_conn c = {.path = file, .says_path = true, .db = v.db};
    if (rc != SQLITE_OK)
        (void)sql_error(&c, rc, "open", err);
    if (err->code == FM_OK && check_schema(&c, err) == 0)
        check_all(&v);
    verify_rows_done(&v);
    if (err->code != FM_OK)
        return -(int)err->code;
    if (v.unchecked > 0)
        fprintf(out, "%zu records were written by an older version and have no checksum\n", v.unchecked);
    fprintf(out, "%zu jobs, %zu steps: %d fault%s\n", v.jobs, v.steps, v.faults, v.faults == 1 ? "" : "s");
    return v.faults;
}
