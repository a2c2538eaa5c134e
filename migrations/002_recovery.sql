-- Recovery of what never arrived. Safe to run twice. All times are UTC microseconds since 1970.

-- What one replica does for all of them: whose it is, and until when. Its beat says when the service was last alive.
CREATE TABLE IF NOT EXISTS leads (
  name    text   PRIMARY KEY,
  owner   text   NOT NULL,
  fence   bigint NOT NULL,               -- grows each time that another replica takes over
  until   bigint NOT NULL,
  beat_at bigint NOT NULL
);

-- Webhooks of repositories that have brought deliveries here. The App's own needs no row. Deliveries say so in a header
-- that is not signed: a webhook may stand here with repositories that are not its own, which GitHub does not list it for.
CREATE TABLE IF NOT EXISTS hooks (
  hook_id bigint NOT NULL,
  repo_id bigint NOT NULL,
  seen_at bigint NOT NULL,
  PRIMARY KEY (hook_id, repo_id)
);

-- How far GitHub's log of a webhook's deliveries has been compared with webhook_logs.
CREATE TABLE IF NOT EXISTS hook_audits (
  hook       text   PRIMARY KEY,         -- 'app', or 'repo:<repository id>/<hook id>'
  since_at   bigint NOT NULL,            -- first compared: what was delivered before then is not missed
  done_at    bigint,                     -- everything up to here has been
  top_at     bigint,                     -- a walk through the log that has not ended: it began then …
  next_page  text   NOT NULL DEFAULT '', -- … and goes on here
  audited_at bigint NOT NULL DEFAULT 0
);

-- Deliveries that GitHub has in its log and that were not here.
CREATE TABLE IF NOT EXISTS missing (
  delivery_id text   PRIMARY KEY,
  hook_id     bigint NOT NULL,           -- 0: the App's
  repo_id     bigint NOT NULL,           -- of a repository's webhook
  github_id   bigint NOT NULL,           -- of the try by which it can be asked for
  event       text   NOT NULL,
  action      text   NOT NULL DEFAULT '',
  github_said text   NOT NULL DEFAULT '',
  sent_at     bigint NOT NULL,
  found_at    bigint NOT NULL,
  state       text   NOT NULL DEFAULT 'open',  -- open, recovered, gave_up
  lost        bigint NOT NULL DEFAULT 0, -- 1: GitHub had been told that it arrived
  asked       bigint NOT NULL DEFAULT 0, -- how often GitHub was asked for it
  asked_at    bigint NOT NULL DEFAULT 0, -- the last time
  next_at     bigint NOT NULL,           -- what is next about it, not before then
  error       text   NOT NULL DEFAULT '',
  ended_at    bigint
);
CREATE INDEX IF NOT EXISTS missing_open ON missing (next_at) WHERE state = 'open';

-- What pull requests look like from afar: to the last pass, and to the last sweep.
CREATE TABLE IF NOT EXISTS sightings (
  key      text   PRIMARY KEY,
  repo_id  bigint NOT NULL,
  number   bigint NOT NULL,
  by_pass  text   NOT NULL DEFAULT '',
  by_sweep text   NOT NULL DEFAULT '',
  pass_at  bigint NOT NULL DEFAULT 0     -- when a pass last saw something new
);
CREATE INDEX IF NOT EXISTS sightings_repo ON sightings (repo_id, pass_at);

-- When a repository was last looked over. Comments up to swept_at were told of by a delivery, or their pull request has
-- been made due since.
CREATE TABLE IF NOT EXISTS sweeps (
  repo_id  bigint PRIMARY KEY,
  swept_at bigint NOT NULL DEFAULT 0,
  requests bigint NOT NULL DEFAULT 0,
  moved    bigint NOT NULL DEFAULT 0,    -- 1: it found something changed
  retry_at bigint NOT NULL DEFAULT 0     -- GitHub does not show the repository to us: not before then
);
