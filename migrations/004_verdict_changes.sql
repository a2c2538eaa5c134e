-- What changed from one verdict to the next. Safe to run twice. All times are UTC microseconds since 1970.

-- A table of its own, so that the version before goes on without it.
CREATE TABLE IF NOT EXISTS verdict_changes (
  id         bigint PRIMARY KEY,         -- of the verdict that is different from the one before
  decided_at bigint NOT NULL,
  changes    text   NOT NULL             -- JSON: a list of policy.Change
);
