-- Until version 7 a job never started its journal over.
CREATE TABLE generations(
    job BLOB,
    generation INTEGER,
    step INTEGER NOT NULL,
    inputs INTEGER NOT NULL,
    body BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY(job, generation)
) WITHOUT ROWID;
