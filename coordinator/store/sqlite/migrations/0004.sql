-- Version 3 had no checksums. What it has written gets none.
ALTER TABLE jobs ADD COLUMN sum INTEGER;
ALTER TABLE bodies ADD COLUMN sum INTEGER;
ALTER TABLE snapshots ADD COLUMN sum INTEGER;
