package store

import (
	"regexp"
	"strconv"
	"strings"
)

// A statement is a named SQL text. Both engines run the same one; where rows must be taken that nobody else has taken,
// the mark skipLocked stands for the one clause that PostgreSQL needs and SQLite, with its one writer, has no word for.
type statement struct{ name, sqlite, postgres string }

const skipLocked = "/* skip locked */"

// statements are all of them: a test prepares each on both engines.
var statements []*statement

func sqlText(name, text string) *statement {
	text = strings.TrimSpace(text)
	st := &statement{name: name, sqlite: text, postgres: strings.ReplaceAll(text, skipLocked, "FOR UPDATE SKIP LOCKED")}
	statements = append(statements, st)
	return st
}

// A bulk is one statement for several numbers of rows: enough of them that many rows need few round trips, and so few
// that all stay prepared.
type bulk struct {
	width  int // parameters of a row
	shared int // parameters before the first row
	of     [len(bulkRows)]*statement
}

var bulkRows = [...]int{64, 8, 1}

var parameter = regexp.MustCompile(`\$\d+`)

// bulkText registers a text in which {rows} stands for as many copies of row as there are rows. The parameters of a row
// are numbered from $1, as those of the text around it are, which come first.
func bulkText(name, text, row string) *bulk {
	b := &bulk{width: highest(row), shared: highest(text)}
	for i, n := range bulkRows {
		var all strings.Builder
		for r := range n {
			if r > 0 {
				all.WriteString(", ")
			}
			all.WriteString(parameter.ReplaceAllStringFunc(row, func(p string) string {
				return "$" + strconv.Itoa(b.shared+r*b.width+number(p))
			}))
		}
		b.of[i] = sqlText(name+", rows: "+strconv.Itoa(n), strings.Replace(text, "{rows}", all.String(), 1))
	}
	return b
}

func number(parameter string) int {
	n, _ := strconv.Atoi(parameter[1:]) // the pattern has found digits
	return n
}

func highest(text string) (n int) {
	for _, p := range parameter.FindAllString(text, -1) {
		n = max(n, number(p))
	}
	return n
}

// What only one engine has a word for.
var (
	beginImmediate = &statement{name: "begin", sqlite: "BEGIN IMMEDIATE"}
	commitWork     = &statement{name: "commit", sqlite: "COMMIT"}
	rollbackWork   = &statement{name: "roll back", sqlite: "ROLLBACK"}
)

const (
	postgresClock = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
	// A standby answers on as well: what used to be the server to write to may have become one.
	postgresReadOnly = `SELECT current_setting('transaction_read_only')`
	postgresLock     = `SELECT pg_advisory_xact_lock(727004)` // any number that only migrations of this service use
)

var (
	selectOne     = sqlText("ping", `SELECT 1`)
	schemaVersion = sqlText("read the schema's version", `SELECT coalesce(max(version), 0) FROM schema_migrations`)
	addVersion    = sqlText("note the schema's version", `INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, $3) ON CONFLICT (version) DO NOTHING`)
)

const createVersions = `CREATE TABLE IF NOT EXISTS schema_migrations (version bigint PRIMARY KEY, name text NOT NULL, applied_at bigint NOT NULL)`

// The inbox. Insertion is told from repetition by what comes back: the row's count is the one handed in, or it is more.

// maxRows is how many rows one INSERT into the inbox has at most.
const maxRows = 64

const insertColumns = 16

// insertDeliveries has the INSERT of n rows at n.
var insertDeliveries = func() (out [maxRows + 1]*statement) {
	for n := 1; n <= maxRows; n++ {
		var b strings.Builder
		b.WriteString(`INSERT INTO webhook_logs (delivery_id, event, action, repository, repo_id, number, sender, head_sha, secret_slot, seen_count, received_at, last_seen_at, body_sha256, headers, hint, body) VALUES `)
		for row := range n {
			if row > 0 {
				b.WriteString(", ")
			}
			for col := range insertColumns {
				b.WriteString(map[bool]string{true: "($", false: ", $"}[col == 0])
				b.WriteString(strconv.Itoa(row*insertColumns + col + 1))
			}
			b.WriteByte(')')
		}
		b.WriteString(` ON CONFLICT (delivery_id) DO UPDATE SET seen_count = webhook_logs.seen_count + excluded.seen_count, last_seen_at = excluded.last_seen_at
RETURNING delivery_id, seen_count, body_sha256, status, work_key`)
		out[n] = sqlText("insert "+strconv.Itoa(n)+" deliveries", b.String())
	}
	return out
}()

const (
	takenColumns = `seq, delivery_id, secret_slot, attempts, seen_count, received_at, last_seen_at, taken_at, hint`

	// again is the next_at of a delivery that has to be taken again: at once, and by whoever looks into the database, since
	// nobody is told of it any more.
	again = `1`

	// notPaused holds while the queue is not paused; see Pause.
	notPaused = `NOT EXISTS (SELECT 1 FROM settings WHERE name = 'paused' AND value <> '')`
)

var (
	touchInbox     = sqlText("touch the inbox", `DELETE FROM webhook_logs WHERE delivery_id = ''`) // no delivery has this id
	reviveDelivery = sqlText("take a dead or discarded delivery again", `
UPDATE webhook_logs SET status = 'received', attempts = 0, next_at = `+again+` WHERE delivery_id = $1 AND status IN ('dead', 'discarded') AND work_key IS NULL`)

	takeReceived = sqlText("take received deliveries", `
SELECT `+takenColumns+` FROM webhook_logs
WHERE status = 'received' AND next_at <= $1 AND (received_at <= $3 OR next_at > 0) AND `+notPaused+` ORDER BY seq LIMIT $2 `+skipLocked)
	waitingFirst = sqlText("list what waits for its first intake", `
SELECT delivery_id, event, action, repository, coalesce(number, 0), received_at FROM webhook_logs
WHERE status = 'received' AND next_at = 0 AND received_at <= $1 ORDER BY seq LIMIT $2`)
	takeNamed = bulkText("take named deliveries", `
SELECT `+takenColumns+` FROM webhook_logs
WHERE status = 'received' AND ($2 = 1 OR next_at <= $1 AND `+notPaused+`) AND delivery_id IN ({rows}) ORDER BY seq `+skipLocked, `$1`)

	deliveriesQueued = bulkText("queue deliveries", `
WITH made (seq, key, gen) AS (VALUES {rows})
UPDATE webhook_logs SET status = 'queued', work_key = made.key, work_gen = made.gen, taken_at = coalesce(taken_at, $1), processed_at = NULL, error = ''
FROM made WHERE webhook_logs.seq = made.seq`, `(CAST($1 AS bigint), CAST($2 AS text), CAST($3 AS bigint))`)

	deliveriesIdle = bulkText("end deliveries that need no look", `
UPDATE webhook_logs SET status = 'processed', work_key = NULL, work_gen = 0, taken_at = coalesce(taken_at, $1), processed_at = $1, attempts = attempts + 1, error = ''
WHERE seq IN ({rows})`, `$1`)

	deliveryFailed = sqlText("note that intake of a delivery failed", `
UPDATE webhook_logs SET status = $2, attempts = attempts + 1, taken_at = coalesce(taken_at, $3), next_at = $4, error = $5 WHERE seq = $1 AND status = 'received'`)

	openWithHead = sqlText("find open pull requests by head", `SELECT number FROM open_heads WHERE repo_id = $1 AND sha = $2 ORDER BY number`)
	openIntoBase = sqlText("find open pull requests by base", `SELECT number FROM pulls WHERE repo_id = $1 AND state = 'open' AND base = $2 ORDER BY number`)
	openInRepo   = sqlText("find open pull requests of a repository", `SELECT number FROM pulls WHERE repo_id = $1 AND state = 'open' ORDER BY number`)
	dropOpen     = bulkText("remove open heads", `DELETE FROM open_heads WHERE key IN ({rows})`, `$1`)
	addHeads     = bulkText("note heads", `INSERT INTO heads (work_key, seen_at, sha) VALUES {rows} ON CONFLICT (work_key, seen_at, sha) DO NOTHING`, `($1, $2, $3)`)
	setHeads     = bulkText("set open heads", `
INSERT INTO open_heads (key, repo_id, number, sha) VALUES {rows}
ON CONFLICT (key) DO UPDATE SET sha = excluded.sha WHERE open_heads.sha <> excluded.sha`, `($1, $2, $3, $4)`)

	reportWritten = sqlText("read the report that was written", `SELECT request FROM ledger WHERE key = $1 AND kind = 'report' AND target = $2 AND status IN ('done', 'executing')`)
	setRepository = sqlText("note a repository", `
INSERT INTO repositories (id, owner, name, scope, default_branch, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, name = excluded.name, scope = excluded.scope, updated_at = excluded.updated_at,
  default_branch = CASE WHEN excluded.default_branch = '' THEN repositories.default_branch ELSE excluded.default_branch END`)
	renameRepository = sqlText("note a repository's name", `UPDATE repositories SET owner = $2, name = $3, updated_at = $4 WHERE id = $1 AND (owner <> $2 OR name <> $3)`)
	repositoryScope  = sqlText("read a repository's scope", `SELECT scope FROM repositories WHERE id = $1`)
)

// Keyed work. ready_at is kept so that it alone says when a key can be claimed: the end of the lease while it is
// leased, so that an expired one comes back by itself; else the later of due_at and not_before; null when not due.

const newDue = `CASE WHEN work.due_at IS NULL OR work.due_at > excluded.due_at THEN excluded.due_at ELSE work.due_at END`

// freed is when a hint lifts not_before: it revives a dead key, and it goes ahead of bulk work that was only parked, since
// that waits for a part of the budget that is kept for such hints. (3 is pull.Bulk.)
const freed = `work.dead = 1 OR work.fails = 0 AND work.prio = 3 AND excluded.prio < 3`

// mark is the upsert that makes keys due; scope is where a known key's scope comes from.
func mark(scope string) string {
	return `
INSERT INTO work (key, repo_id, number, scope, due_at, ready_at, prio, gen, first_due_at) VALUES {rows}
ON CONFLICT (key) DO UPDATE SET
  gen = work.gen + 1,
  scope = ` + scope + `,
  prio = CASE WHEN work.due_at IS NULL OR work.prio > excluded.prio THEN excluded.prio ELSE work.prio END,
  due_at = ` + newDue + `,
  ready_at = CASE WHEN work.lease_owner IS NOT NULL THEN work.ready_at
    WHEN NOT (` + freed + `) AND work.not_before IS NOT NULL AND work.not_before > ` + newDue + ` THEN work.not_before
    ELSE ` + newDue + ` END,
  not_before = CASE WHEN ` + freed + ` THEN NULL ELSE work.not_before END,
  first_due_at = coalesce(work.first_due_at, excluded.first_due_at),
  fails = CASE WHEN work.dead = 1 THEN 0 ELSE work.fails END,
  dead = 0
RETURNING key, gen`
}

const markRow = `($1, $2, $3, $4, $5, $5, $6, 1, $7)`

const parkedScopes = `scope NOT IN (SELECT scope FROM scopes WHERE paused_until > $2)`

var (
	markHinted = bulkText("mark keys due", mark("excluded.scope"), markRow)
	markAgain  = bulkText("mark keys due again", mark("work.scope"), markRow)

	claimKey = sqlText("claim a key", `
UPDATE work SET fence = fence + 1, lease_owner = $3, lease_until = $4, ready_at = $4, due_at = NULL,
  working_since = coalesce(working_since, first_due_at), first_due_at = NULL
WHERE key = (SELECT key FROM work WHERE prio = $1 AND ready_at <= $2 AND scope <> $5 AND `+parkedScopes+` AND `+notPaused+` ORDER BY ready_at LIMIT 1 `+skipLocked+`)
RETURNING key, repo_id, scope, fence, gen, fails, working_since`)

	repositoryName = sqlText("read a repository's name", `SELECT owner, name FROM repositories WHERE id = $1`)

	nextReady  = sqlText("find the earliest key", `SELECT ready_at FROM work WHERE ready_at IS NOT NULL AND scope NOT IN (SELECT scope FROM scopes WHERE paused_until > $1) AND `+notPaused+` ORDER BY ready_at LIMIT 1`)
	nextParked = sqlText("find the earliest end of a pause", `
SELECT paused_until FROM scopes WHERE paused_until > $1 AND EXISTS (SELECT 1 FROM work WHERE work.scope = scopes.scope AND ready_at IS NOT NULL) AND `+notPaused+`
ORDER BY paused_until LIMIT 1`)

	// hold checks a claim's fence and keeps the row until the transaction ends.
	hold = sqlText("check the fence", `
UPDATE work SET fence = fence WHERE key = $1 AND fence = $2 AND lease_owner IS NOT NULL RETURNING gen, due_at, prio, first_due_at, working_since`)

	extendLease = sqlText("extend a lease", `UPDATE work SET lease_until = $3, ready_at = $3 WHERE key = $1 AND fence = $2 AND lease_owner IS NOT NULL`)

	release = sqlText("release a key", `
UPDATE work SET lease_owner = NULL, lease_until = NULL, due_at = $2, not_before = $3, ready_at = $4, prio = $5, fails = $6, dead = $7, first_due_at = $8, working_since = NULL
WHERE key = $1`)

	deliveriesDone = sqlText("end the deliveries of a pass", `
UPDATE webhook_logs SET status = 'processed', processed_at = $3, attempts = attempts + 1, error = '' WHERE work_key = $1 AND status = 'queued' AND work_gen <= $2
RETURNING event, taken_at`)
	deadDone = sqlText("end the dead deliveries of a key", `
UPDATE webhook_logs SET status = 'processed', processed_at = $3, attempts = attempts + 1, error = '' WHERE work_key = $1 AND status = 'dead' AND work_gen <= $2
RETURNING event, taken_at`)
	deliveriesFailed = sqlText("note a failed pass on its deliveries", `
UPDATE webhook_logs SET status = $3, attempts = attempts + 1, error = $4 WHERE work_key = $1 AND status = 'queued' AND work_gen <= $2
RETURNING event, taken_at`)

	parkScope = sqlText("park a scope", `
INSERT INTO scopes (scope, paused_until, reason, updated_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (scope) DO UPDATE SET paused_until = excluded.paused_until, reason = excluded.reason, updated_at = excluded.updated_at
WHERE scopes.paused_until < excluded.paused_until`)
)

// What hangs on a key: the ledger, the read model, verdicts, policies.

const ledgerColumns = `kind, target, attempt, request, status, failures, passing, github_id, error, planned_at, started_at, done_at`

var (
	readMemory = sqlText("read what is remembered", `SELECT memory, digest, tree FROM pulls WHERE key = $1`)
	readLedger = sqlText("read the ledger", `SELECT `+ledgerColumns+` FROM ledger WHERE key = $1 ORDER BY planned_at DESC, kind, target LIMIT $2`)
	readPolicy = sqlText("read the last valid policy", `SELECT path, oid, text, found, problem FROM policies WHERE repo_id = $1`)
	setPolicy  = sqlText("keep the policy", `
INSERT INTO policies (repo_id, path, oid, text, found, problem, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (repo_id) DO UPDATE SET path = excluded.path, oid = excluded.oid, text = excluded.text, found = excluded.found, problem = excluded.problem, updated_at = excluded.updated_at`)

	readShown = sqlText("read what is shown of a pull request", `SELECT state, title, draft, head_sha, base, labels, verdict, sentence, digest FROM pulls WHERE key = $1`)
	setPull   = sqlText("keep a pull request", `
INSERT INTO pulls (key, repo_id, number, state, title, author, url, draft, head_sha, head_ref, base, labels, updated_at, verdict, sentence, digest, took, decided_at, next_look, memory, tree)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (key) DO UPDATE SET state = excluded.state, title = excluded.title, author = excluded.author, url = excluded.url, draft = excluded.draft,
  head_sha = excluded.head_sha, head_ref = excluded.head_ref, base = excluded.base, labels = excluded.labels, updated_at = excluded.updated_at,
  verdict = excluded.verdict, sentence = excluded.sentence, digest = excluded.digest, took = excluded.took, decided_at = excluded.decided_at,
  next_look = excluded.next_look, memory = excluded.memory, tree = excluded.tree`)
	setMemory  = sqlText("keep what is remembered", `UPDATE pulls SET memory = $2 WHERE key = $1`)
	setNext    = sqlText("keep the next look", `UPDATE pulls SET next_look = $2 WHERE key = $1`)
	closePull  = sqlText("note that a pull request is gone", `UPDATE pulls SET state = 'closed', next_look = NULL WHERE key = $1 AND state = 'open'`)
	addVerdict = sqlText("keep a verdict", `
INSERT INTO verdicts (key, state, sentence, digest, head_sha, took, decided_at, tree) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id`)
	addVerdictChanges = sqlText("keep what changed", `
INSERT INTO verdict_changes (id, decided_at, changes) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET decided_at = excluded.decided_at, changes = excluded.changes`)

	// want opens or re-opens an intention. A row that is already planned stays the same attempt; refusals in a row are
	// forgotten when another request is made.
	want = sqlText("write an intention down", `
INSERT INTO ledger (key, kind, target, request, precondition, status, fence, planned_at) VALUES ($1, $2, $3, $4, $5, 'planned', $6, $7)
ON CONFLICT (key, kind, target) DO UPDATE SET
  attempt = CASE WHEN ledger.status = 'planned' THEN ledger.attempt ELSE ledger.attempt + 1 END,
  failures = CASE WHEN ledger.request = excluded.request THEN ledger.failures ELSE 0 END,
  passing = CASE WHEN ledger.request = excluded.request THEN ledger.passing ELSE 0 END,
  request = excluded.request, precondition = excluded.precondition, status = 'planned', fence = excluded.fence,
  planned_at = excluded.planned_at, started_at = NULL, done_at = NULL, error = ''`)

	readPlanned = sqlText("read what is planned", `SELECT kind, target FROM ledger WHERE key = $1 AND status = 'planned' ORDER BY kind, target`)
	supersede   = sqlText("supersede an intention", `UPDATE ledger SET status = 'superseded', done_at = $4 WHERE key = $1 AND kind = $2 AND target = $3 AND status = 'planned'`)

	startIntent = sqlText("begin an intention", `
UPDATE ledger SET status = 'executing', fence = $4, started_at = $5, error = '' WHERE key = $1 AND kind = $2 AND target = $3 AND status IN ('planned', 'executing')
RETURNING `+ledgerColumns)
	endIntent = sqlText("write an outcome", `
UPDATE ledger SET status = $4, github_id = $5, error = $6, failures = $7, passing = $8, done_at = $9 WHERE key = $1 AND kind = $2 AND target = $3`)
)

// Recovery. The row of the lead is the first that its transactions lock.

const missingColumns = `delivery_id, hook_id, missing.repo_id, coalesce(repositories.owner, ''), coalesce(repositories.name, ''), coalesce(repositories.scope, ''),
  github_id, event, action, github_said, sent_at, lost, asked,
  CASE WHEN EXISTS (SELECT 1 FROM webhook_logs WHERE webhook_logs.delivery_id = missing.delivery_id) THEN 1 ELSE 0 END`

var (
	lastBeat = sqlText("read the last beat", `SELECT beat_at FROM leads WHERE name = $1`)

	// beat takes the lead when it is free or its holder's term has ended, and makes the holder's own term last longer.
	beat = sqlText("say that a replica is alive", `
INSERT INTO leads (name, owner, fence, until, beat_at) VALUES ($1, $2, 1, $3, $4)
ON CONFLICT (name) DO UPDATE SET
  fence = CASE WHEN leads.owner <> excluded.owner AND leads.until <= excluded.beat_at THEN leads.fence + 1 ELSE leads.fence END,
  owner = CASE WHEN leads.until <= excluded.beat_at THEN excluded.owner ELSE leads.owner END,
  until = CASE WHEN leads.owner = excluded.owner OR leads.until <= excluded.beat_at THEN excluded.until ELSE leads.until END,
  beat_at = excluded.beat_at
RETURNING owner, fence`)
	holdLead = sqlText("check the lead's fence", `UPDATE leads SET fence = fence WHERE name = $1 AND owner = $2 AND fence = $3 RETURNING fence`)
	resign   = sqlText("give the lead up", `UPDATE leads SET until = 0 WHERE name = $1 AND owner = $2 AND fence = $3`)

	newestHeaders = sqlText("read the newest deliveries' headers", `SELECT repo_id, headers FROM webhook_logs WHERE repo_id IS NOT NULL ORDER BY seq DESC LIMIT $1`)
	listHooks     = sqlText("list known webhooks", `SELECT hook_id, repo_id FROM hooks`)
	setHook       = sqlText("note a webhook", `
INSERT INTO hooks (hook_id, repo_id, seen_at) VALUES ($1, $2, $3) ON CONFLICT (hook_id, repo_id) DO NOTHING`)

	readHookAudit = sqlText("read how far a webhook is audited", `SELECT since_at, done_at, top_at, next_page FROM hook_audits WHERE hook = $1`)
	addHookAudit  = sqlText("begin to audit a webhook", `INSERT INTO hook_audits (hook, since_at) VALUES ($1, $2) ON CONFLICT (hook) DO NOTHING`)
	setHookAudit  = sqlText("keep how far a webhook is audited", `
UPDATE hook_audits SET done_at = $2, top_at = $3, next_page = $4, audited_at = $5 WHERE hook = $1`)

	deliveriesHere = bulkText("find out which deliveries are here", `SELECT delivery_id FROM webhook_logs WHERE delivery_id IN ({rows})`, `$1`)

	// addMissing answers with the deliveries that are new there, or that GitHub is now known to think delivered.
	addMissing = sqlText("note a missing delivery", `
INSERT INTO missing (delivery_id, hook_id, repo_id, github_id, event, action, github_said, sent_at, found_at, lost, next_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $9)
ON CONFLICT (delivery_id) DO UPDATE SET state = 'open', lost = 1, github_id = excluded.github_id, github_said = excluded.github_said, next_at = excluded.next_at, ended_at = NULL
WHERE missing.lost = 0 AND excluded.lost = 1
RETURNING found_at, lost`)
	listMissing = sqlText("list missing deliveries", `
SELECT `+missingColumns+` FROM missing LEFT JOIN repositories ON repositories.id = missing.repo_id
WHERE state = 'open' AND (next_at <= $1 OR EXISTS (SELECT 1 FROM webhook_logs WHERE webhook_logs.delivery_id = missing.delivery_id))
ORDER BY sent_at, delivery_id LIMIT $2`)
	askMissing = sqlText("note that GitHub is asked for a delivery", `
UPDATE missing SET asked = asked + 1, asked_at = $3, next_at = $4 WHERE delivery_id = $1 AND asked = $2 AND state = 'open'`)
	notAskedMissing = sqlText("note that GitHub was not asked for a delivery", `
UPDATE missing SET asked = asked - 1, next_at = $3 WHERE delivery_id = $1 AND asked = $2 AND state = 'open'`)
	askMissingNow = sqlText("note that GitHub is asked for a delivery by hand", `
UPDATE missing SET asked = asked + 1, asked_at = $2, next_at = $3, state = 'open', error = '', ended_at = NULL WHERE delivery_id = $1 AND asked_at <= $4`)
	endMissing = sqlText("end a missing delivery", `
UPDATE missing SET state = $2, error = $3, ended_at = $4 WHERE delivery_id = $1 AND state = 'open'`)

	listSweepable = sqlText("list the repositories to look over", `
SELECT repositories.id, owner, name, scope, coalesce(swept_at, 0), coalesce(requests, 0), coalesce(moved, 0), coalesce(retry_at, 0),
  coalesce((SELECT max(pass_at) FROM sightings WHERE sightings.repo_id = repositories.id), 0)
FROM repositories LEFT JOIN sweeps ON sweeps.repo_id = repositories.id ORDER BY coalesce(swept_at, 0), repositories.id`)
	listSightings = sqlText("list what open pull requests look like", `
SELECT number, by_pass, by_sweep FROM sightings WHERE repo_id = $1
  AND NOT EXISTS (SELECT 1 FROM pulls WHERE pulls.key = sightings.key AND state <> 'open')`)
	// sightByPass leaves pass_at as it was where a pass saw nothing new: a pull request that is looked at by the clock is
	// not one where something moves.
	sightByPass = sqlText("keep what a pass saw", `
INSERT INTO sightings (key, repo_id, number, by_pass, pass_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key) DO UPDATE SET by_pass = excluded.by_pass, pass_at = excluded.pass_at WHERE sightings.by_pass <> excluded.by_pass`)
	sightsBySweep = bulkText("keep what a sweep saw", `
INSERT INTO sightings (key, repo_id, number, by_sweep) VALUES {rows} ON CONFLICT (key) DO UPDATE SET by_sweep = excluded.by_sweep`, `($1, $2, $3, $4)`)
	// markSwept leaves alone what is due as soon anyway.
	markSwept = bulkText("mark keys due that a sweep found", strings.Replace(mark("excluded.scope"), "RETURNING",
		"WHERE work.due_at IS NULL OR work.due_at > excluded.due_at\nRETURNING", 1), markRow)
	setSweep = sqlText("keep the end of a sweep", `
INSERT INTO sweeps (repo_id, swept_at, requests, moved, retry_at) VALUES ($1, $2, $3, $4, 0)
ON CONFLICT (repo_id) DO UPDATE SET swept_at = excluded.swept_at, requests = excluded.requests, moved = excluded.moved, retry_at = 0`)
	setRetry = sqlText("keep that a repository can't be looked over", `
INSERT INTO sweeps (repo_id, retry_at) VALUES ($1, $2) ON CONFLICT (repo_id) DO UPDATE SET retry_at = excluded.retry_at`)
)

// Totals and the feed, always the last rows that a transaction touches.
var (
	addCounts = sqlText("count", `
INSERT INTO counters (slot, event, received, duplicates, processed, errors, actions, last_processed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (slot, event) DO UPDATE SET received = counters.received + excluded.received, duplicates = counters.duplicates + excluded.duplicates,
  processed = counters.processed + excluded.processed, errors = counters.errors + excluded.errors, actions = counters.actions + excluded.actions,
  last_processed = CASE WHEN excluded.last_processed > counters.last_processed THEN excluded.last_processed ELSE counters.last_processed END`)
	addChange = sqlText("announce a change", `INSERT INTO changes (at, kind, key, text) VALUES ($1, $2, $3, $4)`)
)

// Read models.

const (
	pullColumns = `pulls.key, pulls.repo_id, coalesce(repositories.owner, ''), coalesce(repositories.name, ''), number, title, author, url, state, draft,
  head_sha, head_ref, base, labels, pulls.updated_at, verdict, sentence, decided_at, next_look`
	fromPulls       = ` FROM pulls LEFT JOIN repositories ON repositories.id = pulls.repo_id`
	deliveryColumns = `seq, delivery_id, secret_slot, status, attempts, error, seen_count, received_at, last_seen_at, taken_at, processed_at, coalesce(work_key, ''), body_sha256, headers, hint`
	workColumns     = `work.key, work.repo_id, coalesce(repositories.owner, ''), coalesce(repositories.name, ''), coalesce(pulls.title, ''), work.scope, due_at, not_before, ready_at,
  prio, gen, fails, dead, coalesce(working_since, first_due_at), coalesce(lease_owner, ''), lease_until, scopes.paused_until`
	fromWork = ` FROM work LEFT JOIN repositories ON repositories.id = work.repo_id LEFT JOIN pulls ON pulls.key = work.key LEFT JOIN scopes ON scopes.scope = work.scope`
)

var (
	sumCounters = sqlText("sum the counters up", `
SELECT event, sum(received), sum(duplicates), sum(processed), sum(errors), sum(actions), max(last_processed) FROM counters GROUP BY event ORDER BY event`)
	countReceived  = sqlText("count received deliveries", `SELECT count(*) FROM webhook_logs WHERE status = 'received'`)
	countQueued    = sqlText("count queued deliveries", `SELECT count(*) FROM webhook_logs WHERE status = 'queued'`)
	countDead      = sqlText("count dead deliveries", `SELECT count(*) FROM webhook_logs WHERE status = 'dead'`)
	oldestReceived = sqlText("find the oldest received delivery", `SELECT received_at FROM webhook_logs WHERE status = 'received' ORDER BY seq LIMIT 1`)
	sumWork        = sqlText("sum the work up", `
SELECT coalesce(sum(CASE WHEN lease_owner IS NOT NULL AND lease_until > $1 THEN 1 ELSE 0 END), 0),
  coalesce(sum(CASE WHEN lease_owner IS NULL OR lease_until <= $1 THEN 1 ELSE 0 END), 0),
  min(coalesce(working_since, first_due_at)),
  min(CASE WHEN (lease_owner IS NULL OR lease_until <= $1) AND ready_at <= $1 THEN ready_at END)
FROM work WHERE ready_at IS NOT NULL`)
	parkedUntil = sqlText("read until when a scope is parked", `SELECT paused_until, reason FROM scopes WHERE scope = $1 AND paused_until > $2`)
	readParked  = sqlText("list parked scopes", `SELECT scope, paused_until, reason FROM scopes WHERE paused_until > $1 ORDER BY scope`)

	listOpen   = sqlText("list open pull requests", `SELECT `+pullColumns+fromPulls+` WHERE state = 'open' ORDER BY pulls.updated_at DESC, pulls.key LIMIT $1`)
	listClosed = sqlText("list closed pull requests", `SELECT `+pullColumns+fromPulls+` WHERE state <> 'open' ORDER BY pulls.updated_at DESC, pulls.key LIMIT $1`)
	onePull    = sqlText("read a pull request", `SELECT `+pullColumns+`, digest, took, tree, memory`+fromPulls+`
WHERE lower(repositories.owner) = lower($1) AND lower(repositories.name) = lower($2) AND number = $3 ORDER BY repositories.updated_at DESC LIMIT 1`)
	listVerdicts = sqlText("list verdicts", `
SELECT verdicts.decided_at, state, sentence, head_sha, coalesce(changes, '') FROM verdicts LEFT JOIN verdict_changes ON verdict_changes.id = verdicts.id
WHERE key = $1 ORDER BY verdicts.id DESC LIMIT $2`)

	listDeliveries  = sqlText("list deliveries", `SELECT `+deliveryColumns+` FROM webhook_logs ORDER BY seq DESC LIMIT $1`)
	deliveriesOfKey = sqlText("list a key's deliveries", `SELECT `+deliveryColumns+` FROM webhook_logs WHERE work_key = $1 ORDER BY seq DESC LIMIT $2`)
	oneDelivery     = sqlText("read a delivery", `SELECT `+deliveryColumns+`, body FROM webhook_logs WHERE delivery_id = $1`)

	listWork  = sqlText("list due keys", `SELECT `+workColumns+fromWork+` WHERE ready_at IS NOT NULL ORDER BY prio, ready_at LIMIT $1`)
	workOfKey = sqlText("read a key's work", `SELECT `+workColumns+fromWork+` WHERE work.key = $1`)

	listChanges  = sqlText("list changes", `SELECT id, at, kind, key, text FROM changes WHERE id > $1 ORDER BY id LIMIT $2`)
	newestChange = sqlText("find the last change", `SELECT at FROM changes ORDER BY id DESC LIMIT 1`)
	lastChanges  = sqlText("list the last changes", `SELECT id, at FROM changes ORDER BY id DESC LIMIT $1`)
)

// What people do by hand.

// deadColumns are a dead letter: a key, and what is dead of its deliveries.
const (
	deadColumns = `work.key, work.repo_id, coalesce(repositories.owner, ''), coalesce(repositories.name, ''), coalesce(pulls.title, ''), fails, dead,
  (SELECT count(*) FROM webhook_logs WHERE work_key = work.key AND status = 'dead'),
  coalesce((SELECT error FROM webhook_logs WHERE work_key = work.key AND status = 'dead' ORDER BY seq DESC LIMIT 1), ''),
  (SELECT min(received_at) FROM webhook_logs WHERE work_key = work.key AND status = 'dead')`
	fromDead = ` FROM work LEFT JOIN repositories ON repositories.id = work.repo_id LEFT JOIN pulls ON pulls.key = work.key
WHERE (dead = 1 OR work.key IN (SELECT work_key FROM webhook_logs WHERE status = 'dead' AND work_key IS NOT NULL))`
)

var (
	// listUnprocessed asks for the numbers of both kinds first, each by its own index: what was processed is never read.
	listUnprocessed = sqlText("list unprocessed deliveries", `
SELECT `+deliveryColumns+` FROM webhook_logs WHERE seq IN (
  SELECT seq FROM (SELECT seq + 0 AS seq FROM webhook_logs WHERE status = 'received' UNION ALL SELECT seq + 0 FROM webhook_logs WHERE status = 'queued') AS waiting
  ORDER BY seq LIMIT $1) ORDER BY seq`)

	repositoryNamed = sqlText("find a repository by name", `
SELECT id FROM repositories WHERE lower(owner) = lower($1) AND lower(name) = lower($2) ORDER BY updated_at DESC LIMIT 1`)

	discardDelivery = sqlText("discard a delivery", `
UPDATE webhook_logs SET status = 'discarded', processed_at = $2 WHERE delivery_id = $1 AND status IN ('received', 'queued') RETURNING work_key, work_gen, received_at`)

	// dismissKey takes back that a key is due where the delivery of generation $2 was the last thing heard of it, and, as it
	// was received at $3, the first as well. What the last decision asked for stays; after a failed pass next_look is only when to try again, and nobody waits for that.
	dismissKey = sqlText("take back that a key is due", `
UPDATE work SET due_at = `+nextLook+`, ready_at = `+nextLook+`, not_before = NULL, fails = 0, first_due_at = NULL, working_since = NULL
WHERE key = $1 AND gen = $2 AND first_due_at = $3 AND lease_owner IS NULL AND dead = 0
  AND NOT EXISTS (SELECT 1 FROM webhook_logs WHERE work_key = $1 AND status = 'queued')`)

	replayDelivery = sqlText("take a delivery again", `
UPDATE webhook_logs SET status = 'received', attempts = 0, error = '', next_at = `+again+`, taken_at = NULL, processed_at = NULL, work_key = NULL, work_gen = 0
WHERE delivery_id = $1 AND status IN ('processed', 'dead', 'discarded')`)

	listDeadKeys       = sqlText("list dead keys", `SELECT `+deadColumns+fromDead+` ORDER BY work.key LIMIT $1`)
	oneDeadKey         = sqlText("read a dead key", `SELECT `+deadColumns+fromDead+` AND work.key = $1`)
	listDeadDeliveries = sqlText("list deliveries that could not be taken in", `
SELECT `+deliveryColumns+` FROM webhook_logs WHERE status = 'dead' AND work_key IS NULL ORDER BY seq LIMIT $1`)
	deadOfKey = sqlText("list a key's dead deliveries", `
SELECT `+deliveryColumns+` FROM webhook_logs WHERE status = 'dead' AND work_key = $1 ORDER BY seq DESC LIMIT $2`)

	retryDelivery = sqlText("take a dead delivery again", `
UPDATE webhook_logs SET status = 'received', attempts = 0, next_at = `+again+` WHERE delivery_id = $1 AND status = 'dead' AND work_key IS NULL`)
	deadKey          = sqlText("ask whether a key is dead", `SELECT dead FROM work WHERE key = $1 AND dead = 1`)
	deadAgain        = sqlText("queue a key's dead deliveries again", `UPDATE webhook_logs SET status = 'queued' WHERE status = 'dead' AND work_key = $1`)
	dropDeadOfKey    = sqlText("discard a key's dead deliveries", `UPDATE webhook_logs SET status = 'discarded', processed_at = $2 WHERE status = 'dead' AND work_key = $1`)
	dropDeadDelivery = sqlText("discard a dead delivery", `
UPDATE webhook_logs SET status = 'discarded', processed_at = $2 WHERE delivery_id = $1 AND status = 'dead' AND work_key IS NULL`)
	buryKey = sqlText("give a dead key up", `UPDATE work SET dead = 0, fails = 0, first_due_at = NULL, working_since = NULL WHERE key = $1 AND dead = 1`)

	claimNamed = sqlText("claim a key by hand", `
UPDATE work SET fence = fence + 1, lease_owner = $3, lease_until = $4, ready_at = $4, due_at = NULL,
  working_since = coalesce(working_since, first_due_at), first_due_at = NULL
WHERE key = $1 AND (lease_owner IS NULL OR lease_until <= $2) AND `+parkedScopes+`
RETURNING repo_id, scope, fence, gen, fails, working_since, prio`)
	whyNotClaimed = sqlText("ask why a key can't be claimed", `
SELECT coalesce(lease_owner, ''), lease_until, paused_until, coalesce(reason, '') FROM work LEFT JOIN scopes ON scopes.scope = work.scope WHERE key = $1`)
)

// nextLook is when a key was to be looked at by its last decision.
const nextLook = `CASE WHEN fails = 0 THEN (SELECT next_look FROM pulls WHERE pulls.key = work.key) END`

// Forgetting. Every one takes a batch at most.

// dropOldest removes what is old from the low end of a table whose ids grow with time, without an index on the time
// and without looking beyond the first row that stays.
func dropOldest(table, at string) string {
	return `DELETE FROM ` + table + ` WHERE id IN (SELECT id FROM ` + table + ` WHERE id <
  coalesce((SELECT id FROM ` + table + ` WHERE ` + at + ` >= $1 ORDER BY id LIMIT 1), 9223372036854775807) ORDER BY id LIMIT $2)`
}

var (
	firstSince     = sqlText("find where the time to keep begins", `SELECT seq FROM webhook_logs WHERE seq > $1 AND received_at >= $2 ORDER BY seq LIMIT 1`)
	lastDelivery   = sqlText("find the last delivery", `SELECT seq FROM webhook_logs ORDER BY seq DESC LIMIT 1`)
	emptyBodies    = sqlText("empty bodies", `UPDATE webhook_logs SET body = NULL WHERE seq > $1 AND seq <= $2 AND body IS NOT NULL`)
	dropDeliveries = sqlText("forget deliveries", `
DELETE FROM webhook_logs WHERE seq IN (SELECT seq FROM webhook_logs WHERE seq <= $1 AND status IN ('processed', 'discarded') ORDER BY seq LIMIT $2)`)
	dropVerdicts       = sqlText("forget verdicts", dropOldest("verdicts", "decided_at"))
	dropVerdictChanges = sqlText("forget what changed", dropOldest("verdict_changes", "decided_at"))
	dropChanges        = sqlText("forget changes", dropOldest("changes", "at"))
	dropCommands       = sqlText("forget commands", `DELETE FROM commands WHERE cmd_key IN (SELECT cmd_key FROM commands WHERE created_at < $1 AND status <> 'open' LIMIT $2)`)
	dropAudits         = sqlText("forget audits", dropOldest("audits", "at"))
	dropLedger         = sqlText("forget what was done", `
DELETE FROM ledger WHERE (key, kind, target) IN (SELECT ledger.key, kind, target FROM ledger JOIN pulls ON pulls.key = ledger.key
  WHERE status IN ('done', 'superseded') AND done_at < $1 AND pulls.state <> 'open' LIMIT $2)`)
	dropMissing = sqlText("forget missing deliveries", `
DELETE FROM missing WHERE delivery_id IN (SELECT delivery_id FROM missing WHERE state <> 'open' AND ended_at < $1 LIMIT $2)`)
	dropSightings = sqlText("forget what closed pull requests looked like", `
DELETE FROM sightings WHERE key IN (SELECT sightings.key FROM sightings JOIN pulls ON pulls.key = sightings.key
  WHERE pass_at < $1 AND pulls.state <> 'open' LIMIT $2)`)
	dropHeads = sqlText("forget heads", `
DELETE FROM heads WHERE (work_key, seen_at, sha) IN (SELECT work_key, seen_at, sha FROM heads JOIN pulls ON pulls.key = work_key
  WHERE seen_at < $1 AND pulls.state <> 'open' LIMIT $2)`)
	addAudit = sqlText("note who operated what", `INSERT INTO audits (at, actor, action, target, detail) VALUES ($1, $2, $3, $4, $5)`)

	readSetting = sqlText("read a setting", `SELECT value FROM settings WHERE name = $1`)
	dropSetting = sqlText("drop a setting", `DELETE FROM settings WHERE name = $1`)
	setSetting  = sqlText("keep a setting", `
INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`)
)

// Commands in comments, and the heads that their writers saw.

var (
	putCommand = sqlText("keep a command", `
INSERT INTO commands (cmd_key, work_key, comment_id, author_id, verb, args, head_sha_seen, status, reason, created_at, decided_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (cmd_key) DO UPDATE SET status = excluded.status, reason = excluded.reason, decided_at = excluded.decided_at WHERE commands.status = 'open'`)
	listCommands = sqlText("list commands", `
SELECT cmd_key, comment_id, author_id, verb, args, head_sha_seen, status, reason, created_at, decided_at FROM commands
WHERE work_key = $1 ORDER BY created_at DESC, cmd_key DESC LIMIT $2`)
	listHeads = sqlText("list heads", `SELECT sha, seen_at FROM heads WHERE work_key = $1 ORDER BY seen_at DESC, sha DESC LIMIT $2`)
)

// Backups.

var (
	listRestores = sqlText("list restores", `SELECT at, detail FROM audits WHERE action = $1 ORDER BY id DESC LIMIT 50`)
	newestMoment = sqlText("find the newest moment that is kept", `
SELECT max(at) FROM (SELECT coalesce(max(beat_at), 0) AS at FROM leads
  UNION ALL SELECT coalesce(max(at), 0) FROM (SELECT at FROM changes ORDER BY id DESC LIMIT 100) AS fed
  UNION ALL SELECT coalesce(max(received_at), 0) FROM (SELECT received_at FROM webhook_logs ORDER BY seq DESC LIMIT 100) AS came) AS moments`)
	freeLeads    = sqlText("free the leads", `UPDATE leads SET until = 0`)
	forgetWalks  = sqlText("forget walks through GitHub's log that have not ended", `UPDATE hook_audits SET top_at = NULL, next_page = '' WHERE next_page <> ''`)
	anythingKept = sqlText("ask whether anything is kept", `
SELECT CASE WHEN EXISTS (SELECT 1 FROM webhook_logs) OR EXISTS (SELECT 1 FROM pulls) OR EXISTS (SELECT 1 FROM work) OR EXISTS (SELECT 1 FROM ledger)
  OR EXISTS (SELECT 1 FROM commands) OR EXISTS (SELECT 1 FROM audits WHERE action <> 'restore') THEN 1 ELSE 0 END`)
)

// numberOn never sets a sequence back.
const numberOn = `
SELECT setval('webhook_logs_seq_seq', greatest((SELECT max(seq) FROM webhook_logs), (SELECT last_value FROM webhook_logs_seq_seq))),
  setval('verdicts_id_seq', greatest((SELECT max(id) FROM verdicts), (SELECT last_value FROM verdicts_id_seq))),
  setval('changes_id_seq', greatest((SELECT max(id) FROM changes), (SELECT last_value FROM changes_id_seq))),
  setval('audits_id_seq', greatest((SELECT max(id) FROM audits), (SELECT last_value FROM audits_id_seq)))`

const (
	copyInto        = `VACUUM INTO $1`
	tableSQLite     = `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = $1`
	allTablesSQLite = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`
	// The service's tables are those that belong to whom its first one belongs to.
	allTablesPostgres = `
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_class m ON m.relnamespace = c.relnamespace AND m.relowner = c.relowner
WHERE m.oid = to_regclass('schema_migrations') AND c.relkind IN ('r', 'p') ORDER BY c.relname`
	whereTables = `
SELECT n.nspname, pg_catalog.pg_get_userbyid(c.relowner), current_setting('server_version_num')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass('schema_migrations')`

	// guardText refuses while a service is connected. What is running shows at once: pg_stat_activity is kept for the
	// length of a transaction, so it is asked anew.
	guardText = `
  PERFORM pg_catalog.pg_stat_clear_snapshot();
  SELECT pg_catalog.string_agg(DISTINCT coalesce(pg_catalog.host(client_addr), 'this machine'), ', ') INTO live FROM pg_catalog.pg_stat_activity
    WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
      AND application_name LIKE 'github-pr-manager%' AND application_name NOT LIKE 'github-pr-manager-command%';
  IF live IS NOT NULL THEN
    RAISE EXCEPTION 'the service is running on this database, from %: stop every replica, then restore again; nothing was changed', live;
  END IF;`

	dumpHead = `
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL lock_timeout = '30s';
SET LOCAL idle_in_transaction_session_timeout = 0;
DO $github_pr_manager$
DECLARE
  live text;
  known pg_catalog.oid;
  name text;
  stem text := 'before_restore_' || pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS');
  aside text := stem;
  tries int := 1;
  moved int := 0;
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock(727004);{guard}
  WHILE pg_catalog.to_regnamespace(aside) IS NOT NULL LOOP -- a second restore within the second
    tries := tries + 1;
    aside := stem || '_' || tries;
  END LOOP;
  SELECT relowner INTO known FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
    WHERE nspname = {schema} AND relname IN ('schema_migrations', 'webhook_logs') AND relkind IN ('r', 'p') ORDER BY relname LIMIT 1;
  FOR name IN SELECT relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
    WHERE nspname = {schema} AND relkind IN ('r', 'p') AND relowner = known ORDER BY relname
  LOOP
    IF moved = 0 THEN
      EXECUTE pg_catalog.format('CREATE SCHEMA %I', aside);
    END IF;
    EXECUTE pg_catalog.format('ALTER TABLE %I.%I SET SCHEMA %I', {schema}, name, aside);
    moved := moved + 1;
  END LOOP;
  IF moved > 0 THEN
    RAISE WARNING 'what was in this database is kept in its schema %: DROP SCHEMA % CASCADE removes it', aside, aside;
  END IF;
END $github_pr_manager$;

`

	dumpTail = `
DO $github_pr_manager$
DECLARE
  live text;
  name text;
  taken bigint := {taken};
  now_us bigint := (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint;
BEGIN{guard}
  IF pg_catalog.to_regclass({schema} || '.leads') IS NOT NULL THEN
    IF taken IS NULL THEN
      SELECT max(beat_at) INTO taken FROM {ident}.leads;
    END IF;
    UPDATE {ident}.leads SET until = 0;
    UPDATE {ident}.hook_audits SET top_at = NULL, next_page = '' WHERE next_page <> '';
  END IF;
  IF {backup} IS NULL THEN
    SELECT greatest(taken, max(at)) INTO taken FROM (SELECT at FROM {ident}.changes ORDER BY id DESC LIMIT 100) AS fed;
    SELECT greatest(taken, max(received_at)) INTO taken FROM (SELECT received_at FROM {ident}.webhook_logs ORDER BY seq DESC LIMIT 100) AS came;
  ELSE
    INSERT INTO {ident}.settings (name, value, updated_at) VALUES ('last_backup', {backup}, now_us)
      ON CONFLICT ON CONSTRAINT settings_pkey DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at;
  END IF;
  INSERT INTO {ident}.audits (at, actor, action, target, detail)
    VALUES (now_us, {by}, 'restore', {from}, pg_catalog.format('{"taken_at":%s}', coalesce(taken, 0)));
  IF {owner} <> current_user AND EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {owner}) THEN
    FOR name IN SELECT relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
      WHERE nspname = {schema} AND relkind IN ('r', 'p') AND relowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
    LOOP
      BEGIN
        EXECUTE pg_catalog.format('ALTER TABLE %I.%I OWNER TO %I', {schema}, name, {owner});
      EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'table % belongs to %, and belonged to % before', name, current_user, {owner};
      END;
    END LOOP;
  END IF;
END $github_pr_manager$;
COMMIT;
`
)
