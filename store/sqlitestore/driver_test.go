package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/store"
)

// put is a raw blind put for tests that need no seal.
func put(key string, version store.Version, ends time.Time) store.Batch {
	return store.Batch{Now: time.Unix(0, 0), Writes: []store.Write{
		{Op: store.Put(key, []byte("v")), Version: version, ExpiresAt: ends},
	}}
}

func TestSecondOwnerIsRefused(t *testing.T) {
	d := openTest(t, Config{})
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(d.path, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{d.path, link} { // a link leads to the same lock
		_, err := Open(t.Context(), Config{Path: path})
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), d.path) || !strings.Contains(err.Error(), "stop that process") {
			t.Errorf("second owner by %s: %v", path, err)
		}
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Errorf("the first owner suffers: %v", err)
	}
}

// TestNextOwnerWaits: whoever starts while the one before is on its way out gets
// the file a moment later.
func TestNextOwnerWaits(t *testing.T) {
	d := openTest(t, Config{})
	defer time.AfterFunc(200*time.Millisecond, func() { _ = d.Close() }).Stop()
	next, err := Open(t.Context(), Config{Path: d.path})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseReleasesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "kdgate.db")
	for round := range 3 {
		d, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		events, err := d.Watch(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // twice is once
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, open := <-events; open {
			t.Error("a watch outlived the store")
		}
		if err := d.Apply(t.Context(), put("k", 1, time.Time{})); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("apply when closed: %v", err)
		}
		if _, err := d.Get(t.Context(), "k"); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("get when closed: %v", err)
		}
	}
}

func TestFilesArePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "kdgate.db")
	d := openTest(t, Config{Path: path})
	if err := d.Apply(t.Context(), put("k", 1, time.Time{})); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{
		path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600, path + ".lock": 0o600, filepath.Dir(path): 0o700,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
}

func TestFileWithWideModeIsNarrowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kdgate.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	openTest(t, Config{Path: path})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestStrangeFilesAreRefused(t *testing.T) {
	prepare := func(statement string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		prepare func(*testing.T, string)
		want    string
	}{
		"newer schema": {
			prepare(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = 2; CREATE TABLE t (x)", applicationID)),
			"run the newer kdgate",
		},
		"another program's": {prepare("CREATE TABLE t (x)"), "another program"},
		"no database": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("not a database, ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a database"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kdgate.db")
			c.prepare(t, path)
			_, err := Open(t.Context(), Config{Path: path})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("opened: %v", err)
			}
			// Refusing gives the lock back: the same words a second time.
			if _, again := Open(t.Context(), Config{Path: path}); errors.Is(again, ErrInUse) {
				t.Error(again)
			}
		})
	}
	if _, err := Open(t.Context(), Config{}); err == nil {
		t.Error("opened no path")
	}
}

// TestFullDisk: a disk without space is "could not ask", writes nothing, and
// passes without a restart (R37, R69). SQLite's own page limit stands for it.
func TestFullDisk(t *testing.T) {
	ctx := t.Context()
	d := openTest(t, Config{})
	limit := func(pages int) {
		if _, err := d.writer.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite takes the present size
	big := store.Batch{Writes: []store.Write{
		{Op: store.Put("small", []byte("v")), Version: 1},
		{Op: store.Put("big", make([]byte, 1<<20)), Version: 1},
	}}
	err := d.Apply(ctx, big)
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "free space") {
		t.Fatalf("full disk: %v", err)
	}
	if _, err := d.Get(ctx, "small"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("half a commit is there: %v", err)
	}
	if err := d.Ping(ctx); err != nil {
		t.Errorf("a probe that fits: %v", err)
	}
	limit(1 << 20)
	if err := d.Apply(ctx, big); err != nil {
		t.Errorf("after space came back: %v", err)
	}
}

// TestReadOnly: a file that cannot be written is not ready, and says why.
func TestReadOnly(t *testing.T) {
	ctx := t.Context()
	d := openTest(t, Config{})
	pragma := func(text string) {
		if _, err := d.writer.conn.ExecContext(ctx, "PRAGMA "+text); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Apply(ctx, put("k", 1, time.Time{})); err != nil {
		t.Fatal(err)
	}
	pragma("query_only = 1")
	err := d.Apply(ctx, put("k", 2, time.Time{}))
	if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("read-only: %v", err)
	}
	if err := d.Ping(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("ready though nothing can be written: %v", err)
	}
	if _, err := d.Get(ctx, "k"); err != nil {
		t.Errorf("reads go on: %v", err)
	}
	pragma("query_only = 0")
	if err := d.Ping(ctx); err != nil {
		t.Errorf("not ready after it passed: %v", err)
	}
}

// TestGroupKeepsCommitsApart: commits of one group are judged one after the
// other, and one that is refused does not touch its neighbours.
func TestGroupKeepsCommitsApart(t *testing.T) {
	d := openTest(t, Config{})
	at := func(v store.Version, op store.Op) *request {
		return &request{batch: store.Batch{Writes: []store.Write{{Op: op, Version: v}}}, done: make(chan error, 1)}
	}
	group := []*request{
		at(1, store.Create("a", nil)),
		at(2, store.Create("a", nil)),     // beaten by the one before
		at(3, store.Replace("a", nil, 1)), // sees the first
		at(3, store.Replace("a", nil, 3)), // not above what is there
		at(4, store.Create("b", nil)),
		at(0, store.DeleteAt("b", 4)),
		at(4, store.Create("b", nil)), // not above what was deleted in this group
	}
	results := make(chan error)
	go func() { results <- d.writer.group(group) }()
	if err := <-results; err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false, true, false, true, true, false} {
		if err := group[i].err; (err == nil) != want || (err != nil && !errors.Is(err, store.ErrConflict)) {
			t.Errorf("commit %d: %v", i, err)
		}
	}
	if entry, err := d.Get(t.Context(), "a"); err != nil || entry.Version != 3 {
		t.Errorf("a: %+v, %v", entry, err)
	}
	if _, err := d.Get(t.Context(), "b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("b: %v", err)
	}
}

// TestDeletedVersionSurvivesRestart: the memory that versions never go back is
// on the disk, also when the transaction that moved it failed.
func TestDeletedVersionSurvivesRestart(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "kdgate.db")
	d, err := Open(ctx, Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Apply(ctx, put("k", 50, time.Time{})); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("disk gone")
	if err := d.writer.transact(func(ctx context.Context) error {
		return errors.Join(d.writer.delete(ctx, "k", 50), failure)
	}); !errors.Is(err, failure) || d.writer.deleted != 0 {
		t.Errorf("after a failed delete: %v, floor %d", err, d.writer.deleted)
	}
	if err := d.Apply(ctx, store.Batch{Writes: []store.Write{{Op: store.Delete("k")}}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openTest(t, Config{Path: path})
	stale, ok := errors.AsType[*store.StaleError](d.Apply(ctx, put("k", 50, time.Time{})))
	if !ok || stale.Floor != 50 {
		t.Errorf("after a restart: %+v", stale)
	}
}

// TestCollect: entries long past their end leave the file, others stay.
func TestCollect(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	d := openTest(t, Config{Now: func() time.Time { return now }})
	const old = collectSize + 3
	for i := range old {
		if err := d.Apply(t.Context(), put(fmt.Sprintf("old/%d", i), 7, now.Add(-store.Collectable-time.Second))); err != nil {
			t.Fatal(err)
		}
	}
	for key, ends := range map[string]time.Time{"ever": {}, "ended": now.Add(-time.Second), "live": now.Add(time.Second)} {
		if err := d.Apply(t.Context(), put(key, 3, ends)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []bool{true, false} {
		if more, err := d.writer.collect(now); err != nil || more != want {
			t.Fatalf("more %v, %v", more, err)
		}
	}
	rest, err := d.Scan(t.Context(), "", "", old)
	if err != nil || len(rest) != 3 {
		t.Errorf("%d entries stay, %v", len(rest), err)
	}
	if d.writer.deleted != 7 {
		t.Errorf("highest version deleted is %d", d.writer.deleted)
	}
}

// TestCollectGoesByItself: the ticker does what TestCollect does by hand.
func TestCollectGoesByItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kdgate.db")
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(t.Context(), Config{Path: path, CollectEvery: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.Apply(t.Context(), put("k", 7, time.Now().Add(time.Second))); err != nil {
			t.Fatal(err)
		}
		<-time.After(store.Collectable + 2*time.Minute)
		synctest.Wait()
		if _, err := d.Get(t.Context(), "k"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("still there: %v", err)
		}
	})
}

// TestWaitingEnds: who waits behind a busy writer can leave.
func TestWaitingEnds(t *testing.T) {
	d := openTest(t, Config{})
	db := attacker(t, d)
	tx, err := db.BeginTx(t.Context(), nil) // another program holds the write lock
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Apply(ctx, put("k", 1, time.Time{})); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("behind a busy writer: %v", err)
	}
	if _, err := d.Get(t.Context(), "k"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("readers wait for the writer: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := d.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestScanSeeks proves that a page is found by the index, wherever it stands: a
// scan that reads its way there costs what everybody else keeps.
func TestScanSeeks(t *testing.T) {
	d, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "k.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var plan string
	row := d.readDB.QueryRowContext(t.Context(), `EXPLAIN QUERY PLAN SELECT key, version, ends, value FROM entries
		WHERE key >= ? AND key < ? ORDER BY key LIMIT ?`, "m", "m\xff", 10)
	var id, parent, unused int
	if err := row.Scan(&id, &parent, &unused, &plan); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(plan, "SEARCH entries USING PRIMARY KEY (key>? AND key<?)") {
		t.Errorf("the plan is %q", plan)
	}
}
