-- Until version 4 these tables were outside of the schema: whoever opened the store made them where
-- they were missing.
CREATE TABLE IF NOT EXISTS hosts(id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS usage(
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
