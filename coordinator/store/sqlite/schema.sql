-- The schema of the SQLite store, as a whole. A new file gets it at once; an older file gets there
-- by migrations/*.sql, and looks the same then (a test compares). Whoever changes it adds a
-- migration, raises SCHEMA_VERSION in schema.h, and keeps a store of the version before in
-- tests/unit/coordinator/store/schemas. Comments stand outside of the statements: SQLite keeps those
-- as text.

-- A job: what is asked for in lists is a column, the rest is in head (an encoded fermata.v1.Job).
-- status: a JobStatus. flow, host: "" for none. wake: wall milliseconds at which the job has to be
-- looked at. sum: here and below a checksum (sum.h); what a version before 4 wrote has none.
CREATE TABLE jobs(
    id BLOB PRIMARY KEY,
    status INTEGER NOT NULL,
    flow TEXT NOT NULL,
    host TEXT NOT NULL,
    head BLOB NOT NULL,
    wake INTEGER,
    sum INTEGER
) WITHOUT ROWID;
CREATE INDEX jobs_by_status ON jobs(status, id);
CREATE INDEX jobs_by_wake ON jobs(wake, id) WHERE wake IS NOT NULL;
CREATE INDEX jobs_by_flow ON jobs(flow, id);

-- Labels of jobs.
CREATE TABLE labels(key TEXT, value TEXT, job BLOB, PRIMARY KEY(key, value, job)) WITHOUT ROWID;
CREATE INDEX labels_by_job ON labels(job);

-- Steps (number > 0) and inputs (number < 0) of jobs. Their bodies (Step, Task) are stored in the
-- order in which they come, so that a commit fills the last page instead of touching one page for
-- each job; records.at finds them.
CREATE TABLE records(
    job BLOB,
    number INTEGER,
    at INTEGER NOT NULL,
    PRIMARY KEY(job, number)
) WITHOUT ROWID;
CREATE TABLE bodies(id INTEGER PRIMARY KEY, body BLOB NOT NULL, sum INTEGER);

-- What the journal of a job says besides steps (Entry): after which step, and its number in the job.
CREATE TABLE entries(
    job BLOB,
    step INTEGER,
    number INTEGER,
    body BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY(job, step, number)
) WITHOUT ROWID;

-- The newest snapshot (JobState) of a job: it covers the steps up to number, the inputs up to
-- inputs (0: not known).
CREATE TABLE snapshots(
    job BLOB PRIMARY KEY,
    number INTEGER NOT NULL,
    body BLOB NOT NULL,
    inputs INTEGER NOT NULL DEFAULT 0,
    sum INTEGER
) WITHOUT ROWID;

-- With which step a generation of a job began, the first (0) left out; the inputs up to inputs were taken then.
-- Of the newest one body is the state (JobState) after that step, of the others it is empty.
CREATE TABLE generations(
    job BLOB,
    generation INTEGER,
    step INTEGER NOT NULL,
    inputs INTEGER NOT NULL,
    body BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY(job, generation)
) WITHOUT ROWID;

-- Request ids that were claimed, with the reply that a repeated call gets.
CREATE TABLE requests(
    scope TEXT,
    request_id TEXT,
    job BLOB NOT NULL,
    digest BLOB NOT NULL,
    reply BLOB NOT NULL,
    PRIMARY KEY(scope, request_id)
) WITHOUT ROWID;
CREATE INDEX requests_by_job ON requests(job);

-- Definitions of flows (Flow) by their SHA-256, and the named versions of them (FlowSummary).
CREATE TABLE flow_defs(digest BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE flows(
    name TEXT,
    version INTEGER,
    digest BLOB NOT NULL,
    summary BLOB NOT NULL,
    PRIMARY KEY(name, version)
) WITHOUT ROWID;

-- The highest number that a deleted version of a name has had: no later version gets it again.
CREATE TABLE flow_numbers(name TEXT PRIMARY KEY, used INTEGER NOT NULL) WITHOUT ROWID;

-- What is remembered of hosts (Host).
CREATE TABLE hosts(id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;

-- The ledger: what model calls of a job used on a day (since 1970). It outlives the job.
CREATE TABLE usage(
    day INTEGER,
    job BLOB,
    flow TEXT NOT NULL,
    input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cached INTEGER NOT NULL,
    cost REAL NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY(day, job)
) WITHOUT ROWID;
