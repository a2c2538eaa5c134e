-- Which pull request into a base branch is being brought up to date. Safe to run twice. All times are UTC microseconds
-- since 1970.

-- One at a time for each base, so that checks run for the next to merge and not for all that wait. A turn ends by itself.
CREATE TABLE IF NOT EXISTS turns (
  repo_id bigint NOT NULL,
  base    text   NOT NULL,
  number  bigint NOT NULL,
  until   bigint NOT NULL,
  PRIMARY KEY (repo_id, base)
);
