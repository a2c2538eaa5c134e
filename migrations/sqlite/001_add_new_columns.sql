-- The whole schema of the first version. Safe to run twice. All times are UTC microseconds since 1970.
-- ../001_add_new_columns.sql says the same in PostgreSQL's words; the two differ in identity columns and storage only.

-- The inbox and the audit log: one row per delivery id.
CREATE TABLE IF NOT EXISTS webhook_logs (
  seq          INTEGER PRIMARY KEY AUTOINCREMENT,
  delivery_id  text   NOT NULL CHECK (length(delivery_id) BETWEEN 1 AND 200),  -- X-GitHub-Delivery
  event        text   NOT NULL,
  action       text   NOT NULL DEFAULT '',
  repository   text   NOT NULL DEFAULT '',          -- owner/name at that time
  repo_id      bigint,
  number       bigint,                              -- the one pull request that it names
  sender       text   NOT NULL DEFAULT '',
  head_sha     text   NOT NULL DEFAULT '',
  secret_slot  bigint NOT NULL DEFAULT -1,          -- which secret signed it; -1: signatures are not validated
  status       text   NOT NULL DEFAULT 'received',  -- received, queued, processed, dead, discarded
  attempts     bigint NOT NULL DEFAULT 0,
  seen_count   bigint NOT NULL DEFAULT 1,
  received_at  bigint NOT NULL,
  last_seen_at bigint NOT NULL,
  taken_at     bigint,
  processed_at bigint,
  next_at      bigint NOT NULL DEFAULT 0,           -- intake not before then
  work_gen     bigint NOT NULL DEFAULT 0,           -- answered by a pass that claimed at least this generation of
  work_key     text,                                -- this key
  error        text   NOT NULL DEFAULT '',
  body_sha256  blob  NOT NULL,
  headers      text   NOT NULL DEFAULT '{}',        -- JSON, by an allow-list
  hint         text   NOT NULL DEFAULT '{}',        -- JSON: what routing needs of the body
  body         blob                                -- as signed, an s2 block; null once its time is over
);
CREATE UNIQUE INDEX IF NOT EXISTS webhook_logs_delivery ON webhook_logs (delivery_id);
CREATE INDEX IF NOT EXISTS webhook_logs_received ON webhook_logs (seq) WHERE status = 'received';
CREATE INDEX IF NOT EXISTS webhook_logs_queued ON webhook_logs (work_key, work_gen) WHERE status = 'queued';
CREATE INDEX IF NOT EXISTS webhook_logs_dead ON webhook_logs (work_key, work_gen) WHERE status = 'dead';
CREATE INDEX IF NOT EXISTS webhook_logs_key ON webhook_logs (work_key, seq) WHERE work_key IS NOT NULL;

-- Commands in comments: edges, consumed once.
CREATE TABLE IF NOT EXISTS commands (
  cmd_key       text   PRIMARY KEY,
  work_key      text   NOT NULL,
  comment_id    bigint NOT NULL,
  author_id     bigint NOT NULL,
  verb          text   NOT NULL,
  args          text   NOT NULL DEFAULT '',
  head_sha_seen text   NOT NULL DEFAULT '',
  status        text   NOT NULL DEFAULT 'open',
  reason        text   NOT NULL DEFAULT '',
  created_at    bigint NOT NULL,
  decided_at    bigint
);
CREATE INDEX IF NOT EXISTS commands_key ON commands (work_key);

-- Keyed work, a level trigger: one row per key, 'pr:<repository id>#<number>'.
CREATE TABLE IF NOT EXISTS work (
  key               text   PRIMARY KEY,
  repo_id           bigint NOT NULL,
  number            bigint NOT NULL,
  scope             text   NOT NULL DEFAULT '',  -- whose budget at GitHub: 'app:<installation>', 'token', or none
  gen               bigint NOT NULL DEFAULT 0,   -- grows with every hint
  due_at            bigint,                      -- null: nothing new
  not_before        bigint,                      -- backoff; hints can't lower it
  ready_at          bigint,                      -- the one moment that claims go by: leased, the end of the lease; else the later of the two above
  prio              bigint NOT NULL DEFAULT 3,   -- less is more urgent
  fails             bigint NOT NULL DEFAULT 0,   -- failed passes in a row
  dead              bigint NOT NULL DEFAULT 0,   -- 1: failed too often, waits for a new hint
  fence             bigint NOT NULL DEFAULT 0,   -- grows with every claim
  first_due_at      bigint,                      -- the oldest hint that no pass has begun to answer
  working_since     bigint,                      -- the oldest hint that the pass in hand answers
  lease_until       bigint,
  lease_owner       text,                        -- null: free
  comment_watermark bigint NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS work_claim ON work (prio, ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS work_ready ON work (ready_at) WHERE ready_at IS NOT NULL;

-- The current intention per key, kind and target, written before the deed.
CREATE TABLE IF NOT EXISTS ledger (
  key          text   NOT NULL,
  kind         text   NOT NULL,
  target       text   NOT NULL,
  attempt      bigint NOT NULL DEFAULT 1,
  request      text   NOT NULL,               -- JSON of the action
  precondition text   NOT NULL DEFAULT '',    -- the commit that it is about
  status       text   NOT NULL,               -- planned, executing, done, failed, superseded
  failures     bigint NOT NULL DEFAULT 0,     -- definite refusals in a row
  passing      bigint NOT NULL DEFAULT 0,     -- 1: the last refusal was of a kind that passes by itself
  fence        bigint NOT NULL DEFAULT 0,
  github_id    bigint NOT NULL DEFAULT 0,
  error        text   NOT NULL DEFAULT '',
  planned_at   bigint NOT NULL,
  started_at   bigint,
  done_at      bigint,
  PRIMARY KEY (key, kind, target)
);

-- The read model of a pull request, its newest verdict, and what the service remembers of it.
CREATE TABLE IF NOT EXISTS pulls (
  key        text   PRIMARY KEY,
  repo_id    bigint NOT NULL,
  number     bigint NOT NULL,
  state      text   NOT NULL,
  title      text   NOT NULL DEFAULT '',
  author     text   NOT NULL DEFAULT '',
  url        text   NOT NULL DEFAULT '',
  draft      bigint NOT NULL DEFAULT 0,
  head_sha   text   NOT NULL DEFAULT '',
  head_ref   text   NOT NULL DEFAULT '',
  base       text   NOT NULL DEFAULT '',
  labels     text   NOT NULL DEFAULT '[]',   -- JSON
  updated_at bigint NOT NULL DEFAULT 0,      -- by GitHub's clock
  verdict    text   NOT NULL DEFAULT '',
  sentence   text   NOT NULL DEFAULT '',
  digest     text   NOT NULL DEFAULT '',
  took       bigint NOT NULL DEFAULT 0,      -- microseconds
  decided_at bigint,
  next_look  bigint,
  memory     text   NOT NULL DEFAULT '{}',   -- JSON
  tree       text   NOT NULL DEFAULT ''      -- JSON of the verdict
);
CREATE INDEX IF NOT EXISTS pulls_base ON pulls (repo_id, base) WHERE state = 'open';
CREATE INDEX IF NOT EXISTS pulls_updated ON pulls (updated_at);

CREATE TABLE IF NOT EXISTS verdicts (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  key        text   NOT NULL,
  state      text   NOT NULL,
  sentence   text   NOT NULL,
  digest     text   NOT NULL,
  head_sha   text   NOT NULL DEFAULT '',
  took       bigint NOT NULL DEFAULT 0,
  decided_at bigint NOT NULL,
  tree       text   NOT NULL
);
CREATE INDEX IF NOT EXISTS verdicts_key ON verdicts (key, id);

-- Which commit was the head since when, by what was heard of it; never by a committer's date.
CREATE TABLE IF NOT EXISTS head_history (
  key     text   NOT NULL,
  seen_at bigint NOT NULL,
  sha     text   NOT NULL,
  PRIMARY KEY (key, seen_at)
);
CREATE TABLE IF NOT EXISTS open_heads (
  key     text   PRIMARY KEY,
  repo_id bigint NOT NULL,
  number  bigint NOT NULL,
  sha     text   NOT NULL
);
CREATE INDEX IF NOT EXISTS open_heads_sha ON open_heads (repo_id, sha);

CREATE TABLE IF NOT EXISTS repositories (
  id             bigint PRIMARY KEY,
  owner          text   NOT NULL,
  name           text   NOT NULL,
  scope          text   NOT NULL DEFAULT '',
  default_branch text   NOT NULL DEFAULT '',
  updated_at     bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS repositories_name ON repositories (lower(owner), lower(name));

-- The last valid policy of a repository, and what is wrong with the current one.
CREATE TABLE IF NOT EXISTS policies (
  repo_id    bigint PRIMARY KEY,
  path       text   NOT NULL DEFAULT '',
  oid        text   NOT NULL DEFAULT '',
  text       text   NOT NULL DEFAULT '',
  found      bigint NOT NULL DEFAULT 0,
  problem    text   NOT NULL DEFAULT '',
  updated_at bigint NOT NULL
);

-- Owners whose .github repository had defaults once: should they disappear, nothing is merged.
CREATE TABLE IF NOT EXISTS owners (
  login            text   PRIMARY KEY,           -- in lower case
  defaults_seen_at bigint NOT NULL
);

-- The change feed.
CREATE TABLE IF NOT EXISTS changes (
  id   INTEGER PRIMARY KEY AUTOINCREMENT,
  at   bigint NOT NULL,
  kind text   NOT NULL,
  key  text   NOT NULL DEFAULT '',
  text text   NOT NULL DEFAULT ''
);

-- Budgets at GitHub that are spent.
CREATE TABLE IF NOT EXISTS scopes (
  scope        text   PRIMARY KEY,
  paused_until bigint NOT NULL DEFAULT 0,
  reason       text   NOT NULL DEFAULT '',
  updated_at   bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS settings (
  name       text   PRIMARY KEY,
  value      text   NOT NULL,
  updated_at bigint NOT NULL
);

-- Who operated what.
CREATE TABLE IF NOT EXISTS audits (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  at     bigint NOT NULL,
  actor  text   NOT NULL,
  action text   NOT NULL,
  target text   NOT NULL DEFAULT '',
  detail text   NOT NULL DEFAULT ''
);

-- Totals by event, kept in the transactions that change them, so that no statistic counts a big table. Several slots,
-- so that replicas don't wait for each other's rows; the total is the sum over them.
CREATE TABLE IF NOT EXISTS counters (
  slot           bigint NOT NULL,
  event          text   NOT NULL,
  received       bigint NOT NULL DEFAULT 0,
  duplicates     bigint NOT NULL DEFAULT 0,
  processed      bigint NOT NULL DEFAULT 0,
  errors         bigint NOT NULL DEFAULT 0,
  actions        bigint NOT NULL DEFAULT 0,
  last_processed bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (slot, event)
);
