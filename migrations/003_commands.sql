-- What commands in comments need. Safe to run twice. All times are UTC microseconds since 1970.

-- Which commit was the head of a pull request since when, by GitHub's clock: what the writer of a comment saw. The times of
-- head_history, which the first version filled, were ours; nothing is written there any more.
CREATE TABLE IF NOT EXISTS heads (
  work_key text   NOT NULL,
  seen_at  bigint NOT NULL,
  sha      text   NOT NULL,
  PRIMARY KEY (work_key, seen_at, sha)
);

-- In the table commands, which no version has filled before, reason is JSON: who wrote it, what it is beneath, and why it was
-- refused.
