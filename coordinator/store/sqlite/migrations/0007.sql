-- Until version 6 the journal had only steps.
CREATE TABLE entries(
    job BLOB,
    step INTEGER,
    number INTEGER,
    body BLOB NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY(job, step, number)
) WITHOUT ROWID;
