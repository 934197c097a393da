package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"kdgate/internal/filelock"
)

// ErrInUse says that another process owns the file.
var ErrInUse = errors.New("sqlitestore: the file has an owner")

const (
	applicationID = 0x6b646761 // "kdga", so that no other program's file is taken for ours
	schemaVersion = 1
)

const schema = `
CREATE TABLE entries (
	key     TEXT    NOT NULL PRIMARY KEY,
	version INTEGER NOT NULL,
	ends    INTEGER NOT NULL, -- microseconds since 1970, 0: does not expire
	value   BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_ends ON entries (ends) WHERE ends > 0;
CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('deleted', 0), ('probe', 0);
`

// Config is what Open needs.
type Config struct {
	// Path of the database file. Its folder is created (0700) when missing, the
	// file too (0600). Beside it stand PATH-wal, PATH-shm and PATH.lock.
	Path string
	// Now is the clock that decides what may be collected; time.Now by default.
	Now func() time.Time
	// CollectEvery is how often entries past their end are looked for; 30 s by default.
	CollectEvery time.Duration
}

// Open opens or creates the file and becomes its one owner; ErrInUse when there
// is another. Close releases it.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	if cfg.Path == "" {
		return nil, errors.New("sqlitestore: no path")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CollectEvery <= 0 {
		cfg.CollectEvery = 30 * time.Second
	}
	path, err := prepareFile(cfg.Path)
	if err != nil {
		return nil, err
	}
	lock, err := own(ctx, path)
	if err != nil {
		return nil, err
	}
	d := &Driver{
		path: path, now: cfg.Now, collectEvery: cfg.CollectEvery, lock: lock,
		requests: make(chan *request), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	d.close = sync.OnceValue(d.shut)
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), d.release())
	}
	go d.run()
	return d, nil
}

// prepareFile makes folder and file private and returns the one true path, so
// that a link does not lead past the lock.
func prepareFile(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("sqlitestore: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("sqlitestore: create the data folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", fmt.Errorf("sqlitestore: open the data file: %w", err)
	}
	info, err := file.Stat()
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = file.Chmod(0o600)
	}
	if err := errors.Join(err, file.Close()); err != nil && !errors.Is(err, fs.ErrPermission) {
		return "", fmt.Errorf("sqlitestore: make the data file private: %w", err)
	}
	return filepath.EvalSymlinks(path)
}

// own takes the lock beside the file. SQLite alone would let two processes take
// turns, each with its own memory of what it has told its watchers.
func own(ctx context.Context, path string) (*filelock.Lock, error) {
	name := path + ".lock"
	lock, err := filelock.Take(ctx, name)
	switch {
	case errors.Is(err, filelock.ErrHeld):
		return nil, fmt.Errorf("%w: %s is open in another process, which holds %s: stop that process first, "+
			"or reach the data through it while it runs", ErrInUse, path, name)
	case err != nil:
		return nil, fmt.Errorf("sqlitestore: %w", err)
	}
	return lock, nil
}

// open connects the writer, brings the schema in place and connects the readers.
func (d *Driver) open(ctx context.Context) error {
	var err error
	if d.writeDB, err = connect(d.path, 1, "journal_mode(WAL)", "synchronous(FULL)"); err != nil {
		return err
	}
	if err := migrate(ctx, d.writeDB); err != nil {
		return err
	}
	if d.writer, err = newWriter(ctx, d.writeDB); err != nil {
		return err
	}
	if d.readDB, err = connect(d.path, readers, "query_only(1)"); err != nil {
		return err
	}
	if d.get, err = d.readDB.PrepareContext(ctx, `SELECT version, ends, value FROM entries WHERE key = ?`); err != nil {
		return err
	}
	d.scan, err = d.readDB.PrepareContext(ctx, `SELECT key, version, ends, value FROM entries
		WHERE key >= ? AND key < ? ORDER BY key LIMIT ?`)
	return err
}

// connect opens a pool of size connections that live as long as the pool.
func connect(path string, size int, pragmas ...string) (*sql.DB, error) {
	query := url.Values{"_txlock": {"immediate"}, "_pragma": append(pragmas, "busy_timeout(5000)", "journal_size_limit(67108864)")}
	file := filepath.ToSlash(path)
	if !strings.HasPrefix(file, "/") {
		file = "/" + file // C:/… on Windows
	}
	dsn := url.URL{Scheme: "file", Path: file, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// migrate brings an empty file to our schema and refuses what it does not know.
func migrate(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system allows no write-ahead log (journal mode %s): use a local disk", mode)
	}
	var app, version, tables int
	err := errors.Join(
		db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&app),
		db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version),
		db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables),
	)
	switch {
	case err != nil:
		return err
	case app != applicationID && tables > 0:
		return errors.New("the file is a database of another program")
	case version > schemaVersion:
		return fmt.Errorf("the file has schema %d, this kdgate knows up to %d: run the newer kdgate", version, schemaVersion)
	case version == schemaVersion:
		return nil
	}
	return create(ctx, db)
}

// create writes the schema in one transaction, so a crash leaves an empty file.
func create(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	pragmas := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, schemaVersion)
	if _, err := tx.ExecContext(ctx, schema+pragmas); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
