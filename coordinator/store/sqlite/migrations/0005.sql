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
-- Earlier versions did not bound what hosts said of tokens and money.
UPDATE usage SET input=min(max(CAST(input AS INTEGER), 0), 9007199254740991),
    output=min(max(CAST(output AS INTEGER), 0), 9007199254740991),
    cached=min(max(CAST(cached AS INTEGER), 0), 9007199254740991),
    calls=min(max(CAST(calls AS INTEGER), 0), 9007199254740991), cost=min(max(cost, 0.0), 1e15)
    WHERE typeof(input)<>'integer' OR input<0 OR typeof(output)<>'integer' OR output<0 OR
    typeof(cached)<>'integer' OR cached<0 OR typeof(calls)<>'integer' OR calls<0 OR cost<0 OR cost>1e15;
