package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // the driver named "sqlite"
)

const (
	fileName      = "audit.db"
	lockName      = "audit.lock"
	schemaVersion = 3
)

// The texts that have no column of their own, as searches and indexes name them.
const (
	requestText = "json_extract(body, '$.request_id')"
	reasonText  = "json_extract(body, '$.reason')"
)

// schema keeps one truth: the body. Every column that a question needs is
// computed from it, so a search cannot answer from other words than those that
// were hashed. STRICT keeps a body from being stored as anything but text.
var schema = []string{
	`CREATE TABLE record (
  id      INTEGER PRIMARY KEY,
  body    TEXT NOT NULL,
  hash    BLOB NOT NULL,
  mac     BLOB NOT NULL,
  replica TEXT    AS (json_extract(body, '$.replica')) VIRTUAL,
  seq     INTEGER AS (json_extract(body, '$.seq')) VIRTUAL,
  at      TEXT    AS (json_extract(body, '$.at')) VIRTUAL,
  action  TEXT    AS (json_extract(body, '$.action')) VIRTUAL,
  outcome TEXT    AS (json_extract(body, '$.outcome')) VIRTUAL,
  actor   TEXT    AS (json_extract(body, '$.actor')) VIRTUAL,
  target  TEXT    AS (json_extract(body, '$.target')) VIRTUAL
) STRICT`,
	`CREATE UNIQUE INDEX record_chain ON record (replica, seq)`,
	actionIndex,
	`CREATE TABLE checkpoint (replica TEXT PRIMARY KEY, line TEXT NOT NULL) STRICT`,
	`CREATE TABLE trim (replica TEXT PRIMARY KEY, line TEXT NOT NULL) STRICT`,
}

// actionIndex answers what is asked of everybody.
const actionIndex = `CREATE INDEX record_action ON record (action, outcome, at)`

// requestIndex came with version 2. Its text, as a reason and a target, is one
// that not every record has.
const requestIndex = `CREATE INDEX record_request ON record (` + requestText + `, at) WHERE ` + requestText + ` IS NOT NULL`

// third is what version 3 adds: indexes only, like version 2. The records and
// their chains are those of version 1. Each begins with what a question names and
// goes on with action and outcome, so that every question has a place in one of
// them that holds nothing else (branch.go); what fails for a reason is found by
// person too without a look at the record.
var third = []string{
	requestIndex,
	`CREATE INDEX record_actor_did ON record (actor, action, outcome, at) WHERE actor IS NOT NULL`,
	`CREATE INDEX record_target_did ON record (target, action, outcome, at) WHERE target IS NOT NULL`,
	`CREATE INDEX record_reason_did ON record (` + reasonText + `, action, outcome, at, actor, target) WHERE ` + reasonText + ` IS NOT NULL`,
}

// earlier are the indexes of an older version that those of version 3 stand for,
// nil when there is no such version.
func earlier(version int) []string {
	both := []string{`CREATE INDEX record_target ON record (target, at)`, `CREATE INDEX record_outcome ON record (outcome, at)`}
	switch version {
	case 1:
		return append(both, `CREATE INDEX record_actor ON record (actor, at)`)
	case 2:
		return append(both, requestIndex, `CREATE INDEX record_actor_act ON record (actor, at, action, outcome)`,
			`CREATE INDEX record_reason ON record (`+reasonText+`, at, action, outcome) WHERE `+reasonText+` IS NOT NULL`)
	default:
		return nil
	}
}

// layout is every statement that a file of a version is laid out with.
func layout(version int) []string {
	if older := earlier(version); older != nil {
		return slices.Concat(schema, older)
	}
	return slices.Concat(schema, third)
}

// steps bring a file of a version to the newest; zero is a new file.
func steps(version int) []string {
	if version == 0 {
		return layout(schemaVersion)
	}
	var list []string
	for _, statement := range earlier(version) {
		name, _, _ := strings.Cut(strings.TrimPrefix(statement, "CREATE INDEX "), " ")
		list = append(list, "DROP INDEX "+name)
	}
	return append(list, third...)
}

// dsn is the driver's name for the file, escaped so that a folder's name cannot
// add a parameter. Windows paths get the slash that a file URL begins with.
func dsn(path, query string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed
	}
	return (&url.URL{Scheme: "file", Path: slashed, RawQuery: query}).String()
}

// openWriter opens the one connection that writes, and lays out a new file.
// FULL: a record that was acknowledged survives a power cut.
func openWriter(ctx context.Context, path string) (*sql.DB, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite gives its side files the same mode
	if err != nil {
		return nil, fmt.Errorf("audit: open: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("audit: open: %w", err)
	}
	db, err := sql.Open("sqlite", dsn(path, "_txlock=immediate&_pragma=busy_timeout(5000)"+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(ON)"))
	if err != nil {
		return nil, fmt.Errorf("audit: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// migrate lays out a new file and brings an old one forward. Building an index
// reads every record once: two minutes for ten million on a busy machine.
func migrate(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("audit: read the file's version: %w", err)
	}
	switch {
	case version == schemaVersion:
		return nil
	case version > schemaVersion:
		return fmt.Errorf("audit: the file has version %d, this program knows %d: use a newer kdgate", version, schemaVersion)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("audit: lay out the file: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for _, statement := range append(steps(version), fmt.Sprintf("PRAGMA user_version=%d", schemaVersion)) {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("audit: lay out the file: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("audit: lay out the file: %w", err)
	}
	return nil
}

// fileIn is the log's file in a folder, or the very file that was named.
func fileIn(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("audit: open: %w", err)
	}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		path = filepath.Join(path, fileName)
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", fmt.Errorf("audit: open: %w", err)
	}
	return path, nil
}

// openReadOnly opens the file of fileIn without ever writing to it. It works while a
// gateway writes. A copy on read-only media has no place for SQLite's side
// files: then, and only when no unmerged side file is there, it is read as it lies.
func openReadOnly(ctx context.Context, dir string) (*sql.DB, error) {
	path, err := fileIn(dir)
	if err != nil {
		return nil, err
	}
	const query = "mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(ON)"
	db, err := openAndAsk(ctx, dsn(path, query))
	if err == nil {
		return db, nil
	}
	side, statErr := os.Stat(path + "-wal")
	if statErr == nil && side.Size() > 0 || statErr != nil && !errors.Is(statErr, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (a log with an unmerged %s-wal needs a writable folder: copy both there)", err, filepath.Base(path))
	}
	if db, asItLies := openAndAsk(ctx, dsn(path, query+"&immutable=1")); asItLies == nil {
		return db, nil
	}
	return nil, err
}

func openAndAsk(ctx context.Context, name string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("audit: open: %w", err)
	}
	db.SetMaxOpenConns(4)
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return nil, errors.Join(fmt.Errorf("audit: open: %w", err), db.Close())
	}
	return db, nil
}
