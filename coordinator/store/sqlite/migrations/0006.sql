-- Until version 5 it was forgotten with a flow which numbers its versions have had. The jobs that were
-- submitted to them still know: job_flow_version (schema.c) is the field flow_version of a head.
CREATE TABLE flow_numbers(name TEXT PRIMARY KEY, used INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO flow_numbers(name, used)
    SELECT flow, max(job_flow_version(head)) FROM jobs WHERE flow<>'' GROUP BY flow
    HAVING max(job_flow_version(head))>ifnull(
        (SELECT max(version) FROM flows WHERE flows.name=jobs.flow), 0);
