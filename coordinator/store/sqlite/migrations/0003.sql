-- In version 2 steps and inputs had tables of their own, by job.
CREATE TABLE records(
    job BLOB,
    number INTEGER,
    at INTEGER NOT NULL,
    PRIMARY KEY(job, number)
) WITHOUT ROWID;
CREATE TABLE bodies(id INTEGER PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO records(job, number, at)
    SELECT job, number, row_number() OVER (ORDER BY job, abs(number))
    FROM (SELECT job, number FROM steps UNION ALL SELECT job, -number FROM inputs);
INSERT INTO bodies(id, body)
    SELECT r.at, coalesce(
        (SELECT s.body FROM steps s WHERE s.job=r.job AND s.number=r.number),
        (SELECT i.body FROM inputs i WHERE i.job=r.job AND i.number=-r.number))
    FROM records r ORDER BY r.at;
DROP TABLE steps;
DROP TABLE inputs;
DROP INDEX jobs_by_host;
ALTER TABLE jobs DROP COLUMN digest;
ALTER TABLE snapshots ADD COLUMN inputs INTEGER NOT NULL DEFAULT 0;
