-- Version 1 had no wake times, and no job that needed one.
ALTER TABLE jobs ADD COLUMN wake INTEGER;
CREATE INDEX jobs_by_wake ON jobs(wake, id) WHERE wake IS NOT NULL;
