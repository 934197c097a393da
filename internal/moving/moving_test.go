package moving_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/internal/moving"
	"kdgate/mapping"
	"kdgate/store"
	"kdgate/store/archive"
	"kdgate/store/redisstore"
	"kdgate/store/sqlitestore"
	"kdgate/store/storetest"
)

var (
	key   = bytes.Repeat([]byte{9}, 32)
	leave = moving.LeftOut{"session/"}
	admin = mapping.Actor{Name: "cli:root", Admin: true}
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func sealed(tb testing.TB, d store.Driver) *store.Sealed {
	tb.Helper()
	s, err := store.Seal(d, store.SealConfig{Keys: [][]byte{key}})
	must(tb, err)
	return s
}

func embedded(tb testing.TB) *store.Sealed {
	tb.Helper()
	d, err := sqlitestore.Open(tb.Context(), sqlitestore.Config{Path: filepath.Join(tb.TempDir(), "k.db")})
	must(tb, err)
	tb.Cleanup(func() { must(tb, d.Close()) })
	return sealed(tb, d)
}

func onRedis(tb testing.TB) *store.Sealed {
	tb.Helper()
	server := storetest.StartRedis(tb)
	d, err := redisstore.Open(redisstore.Config{Addrs: []string{server.Addr}})
	must(tb, err)
	tb.Cleanup(func() { must(tb, d.Close()) })
	return sealed(tb, d)
}

// bothEngines runs a test on each driver.
func bothEngines(t *testing.T, test func(t *testing.T, open func(testing.TB) *store.Sealed)) {
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, embedded) })
	t.Run("redis", func(t *testing.T) { t.Parallel(); test(t, onRedis) })
}

// save is an archive of s.
func save(tb testing.TB, s *store.Sealed, at time.Time) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := archive.NewWriter(&out, key, archive.Header{Tenant: "main", At: at, LeftOut: leave})
	must(tb, err)
	must(tb, moving.Save(tb.Context(), s, w, leave, nil))
	_, err = w.Close()
	must(tb, err)
	return out.Bytes()
}

// gate is a store with a table and a log over it.
type gate struct {
	*store.Sealed
	table *mapping.Table
	log   *audit.Log
}

func newGate(tb testing.TB, s *store.Sealed) *gate {
	tb.Helper()
	log, err := audit.Open(tb.Context(), audit.Config{Dir: filepath.Join(tb.TempDir(), "audit"), Replica: "test", Key: key})
	must(tb, err)
	tb.Cleanup(func() { must(tb, log.Close()) })
	g := &gate{Sealed: s, log: log}
	g.table, err = mapping.New(mapping.Config{Store: s, Recorder: log})
	must(tb, err)
	return g
}

func rowKey(userid string) mapping.Key {
	return mapping.Key{DataCentre: "live", Corp: "dingcorp1", UserID: userid}
}

func (g *gate) create(tb testing.TB, userid, login string) mapping.Entry {
	tb.Helper()
	e, err := g.table.Create(tb.Context(), admin, mapping.Draft{Key: rowKey(userid), StaffNumber: "N" + userid, LoginUser: login})
	must(tb, err)
	return e
}

func (g *gate) suspend(tb testing.TB, userid string) {
	tb.Helper()
	_, err := g.table.Suspend(tb.Context(), admin, rowKey(userid), "left")
	must(tb, err)
}

// restore runs one over g, with g's own log as the journal.
func (g *gate) restore(ctx context.Context, text []byte, over bool) (moving.Restored, error) {
	return moving.Restore{
		Store: g.Sealed, Table: g.table, LeftOut: leave, Options: moving.Options{Over: over}, By: admin, Now: time.Now,
		Journal: func(ctx context.Context, since time.Time) ([]mapping.Entry, error) {
			j := mapping.NewJournal()
			err := g.log.Each(ctx, audit.Query{From: since}, j.Take)
			return j.Rows(), err
		},
	}.Run(ctx, bytes.NewReader(text), key)
}

func (g *gate) status(tb testing.TB, userid string) mapping.Status {
	tb.Helper()
	e, err := g.table.Get(tb.Context(), rowKey(userid))
	must(tb, err)
	return e.Status
}

// TestSaveIsOneMoment proves R64 "online": two entries that are always written
// together, and one number that is always moved between two others, come out of
// every archive that is taken meanwhile as they were at some moment.
func TestSaveIsOneMoment(t *testing.T) {
	bothEngines(t, func(t *testing.T, open func(testing.TB) *store.Sealed) {
		s := open(t)
		var fill []store.Op
		for i := range 100 {
			fill = append(fill, store.Create(fmt.Sprintf("m/%03d", i), make([]byte, 100)))
		}
		must(t, s.Commit(t.Context(), append(fill, store.Put("a/twin", []byte("0")), store.Put("z/twin", []byte("0")), store.Put("z/side", []byte("0")), store.Put("session/x", nil))...))
		stop, writer := make(chan struct{}), sync.WaitGroup{}
		var wrote atomic.Int64
		writer.Go(func() {
			pace := time.NewTicker(2 * time.Millisecond) // 500 commits a second: more than 200 sign-ins make (R1)
			defer pace.Stop()
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				case <-pace.C:
				}
				text := []byte(fmt.Sprint(n))
				// One side comes and goes: a removal has to be noticed too.
				side, other := "a/side", "z/side"
				if n%2 == 0 {
					side, other = other, side
				}
				if err := s.Commit(context.WithoutCancel(t.Context()), store.Put("a/twin", text), store.Put("z/twin", text), store.Put(side, text), store.Delete(other)); err != nil {
					t.Error(err)
					return
				}
				wrote.Add(1)
			}
		})
		for taken := 0; taken < 5 || wrote.Load() < 5; taken++ {
			values := map[string]string{}
			put := func(e store.Entry) error {
				plain, err := s.Unseal(e)
				values[e.Key] = string(plain.Value)
				return err
			}
			_, _, err := archive.Read(bytes.NewReader(save(t, s, time.Now())), key, archive.Visitor{
				Entry: put, Change: put, Remove: func(key string) error { delete(values, key); return nil },
			})
			must(t, err)
			_, a := values["a/side"]
			_, z := values["z/side"]
			if values["a/twin"] != values["z/twin"] || a == z || values["a/side"]+values["z/side"] != values["a/twin"] {
				t.Errorf("torn: twins %s and %s, sides %q and %q", values["a/twin"], values["z/twin"], values["a/side"], values["z/side"])
			}
			if _, there := values["session/x"]; there || len(values) != 103 {
				t.Errorf("%d entries, session in it: %v", len(values), there)
			}
		}
		close(stop)
		writer.Wait()
	})
}

// TestRestoreKeepsVersions: on an empty store every envelope is as it was (T21).
func TestRestoreKeepsVersions(t *testing.T) {
	bothEngines(t, func(t *testing.T, open func(testing.TB) *store.Sealed) {
		from, to := newGate(t, open(t)), newGate(t, open(t))
		from.create(t, "a", "la")
		from.suspend(t, "a")
		from.create(t, "b", "lb")
		text := save(t, from.Sealed, time.Now())
		done, err := to.restore(t.Context(), text, false)
		must(t, err)
		page, err := from.ScanSealed(t.Context(), "", "", store.MaxPage)
		must(t, err)
		page = slices.DeleteFunc(page, func(e store.Entry) bool { return strings.HasPrefix(e.Key, "backup/") }) // Save's own marks
		if done.Entries != len(page) {
			t.Errorf("%d entries restored of %d", done.Entries, len(page))
		}
		for _, e := range page {
			got, err := to.GetSealed(t.Context(), e.Key)
			if err != nil || got.Version != e.Version || !bytes.Equal(got.Value, e.Value) {
				t.Errorf("%s: version %d, want %d (%v)", e.Key, got.Version, e.Version, err)
			}
		}
		if from.status(t, "a") != mapping.StatusSuspended || to.status(t, "a") != mapping.StatusSuspended {
			t.Error("suspended before the backup, and not after it")
		}
		birth, err := to.Get(t.Context(), store.BirthKey)
		must(t, err)
		if said, err := store.DecodeBirth(birth.Value); err != nil || said.Restored.IsZero() || said.ID != done.StoreID {
			t.Errorf("born as %+v %v", said, err)
		}
		if _, err := to.restore(t.Context(), text, false); !errors.Is(err, moving.ErrOccupied) {
			t.Errorf("a second time: %v", err)
		}
	})
}

// TestWhatChangedSinceWins proves R64 and T23 row by row: the state after an old
// snapshot was put over the store.
func TestWhatChangedSinceWins(t *testing.T) {
	bothEngines(t, func(t *testing.T, open func(testing.TB) *store.Sealed) {
		g := newGate(t, open(t))
		for _, u := range []string{"stays", "left", "back", "corrected", "freed"} {
			g.create(t, u, "login-"+u)
		}
		g.suspend(t, "back")
		text := save(t, g.Sealed, time.Now())
		g.suspend(t, "left")
		back, err := g.table.Get(t.Context(), rowKey("back"))
		must(t, err)
		_, err = g.table.Reinstate(t.Context(), admin, rowKey("back"), back.Version)
		must(t, err)
		g.suspend(t, "freed")
		other := "login-freed" // an account that was freed and given to somebody else
		row, err := g.table.Get(t.Context(), rowKey("corrected"))
		must(t, err)
		_, err = g.table.Change(t.Context(), admin, rowKey("corrected"), mapping.Edit{Version: row.Version, LoginUser: &other})
		must(t, err)
		g.create(t, "later", "login-later")
		g.suspend(t, "later")

		done, err := g.restore(t.Context(), text, true)
		must(t, err)
		for userid, want := range map[string]mapping.Status{
			"stays": mapping.StatusActive, "left": mapping.StatusSuspended, "back": mapping.StatusActive,
			"corrected": mapping.StatusActive, "freed": mapping.StatusSuspended, "later": mapping.StatusSuspended,
		} {
			if got := g.status(t, userid); got != want {
				t.Errorf("%s is %s, want %s", userid, got, want)
			}
		}
		if row, err := g.table.Get(t.Context(), rowKey("corrected")); err != nil || row.LoginUser != other {
			t.Errorf("the correction is undone: %q %v", row.LoginUser, err)
		}
		if done.Rows < 5 {
			t.Errorf("%d rows put right", done.Rows)
		}
		left, err := g.ScanKeys(t.Context(), "restore/", "", 10)
		if err != nil || len(left) != 0 {
			t.Errorf("left behind: %q %v", left, err)
		}
		_, err = g.restore(t.Context(), text, true) // and once more, over itself
		must(t, err)
		if g.status(t, "left") != mapping.StatusSuspended {
			t.Error("the second restore forgot what the first knew")
		}
	})
}

// dying is a driver that fails every Apply after so many.
type dying struct {
	store.Driver
	left *atomic.Int64
}

var errDied = errors.New("killed")

func (d dying) Apply(ctx context.Context, b store.Batch) error {
	if d.left.Add(-1) < 0 {
		return errDied
	}
	return d.Driver.Apply(ctx, b)
}

// TestRestoreDiesAnywhere proves R68's "interrupted at every step" for a restore
// over a store: wherever it ends, no gateway takes the store for its own, and
// the next run ends it with every suspension in force.
func TestRestoreDiesAnywhere(t *testing.T) {
	d, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "k.db")})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	left := &atomic.Int64{}
	left.Store(1 << 40)
	g := newGate(t, sealed(t, dying{d, left}))
	g.create(t, "a", "la")
	g.create(t, "b", "lb")
	text := save(t, g.Sealed, time.Now())
	g.suspend(t, "a")
	steps := 0
	for ; ; steps++ {
		left.Store(int64(steps))
		_, err := g.restore(t.Context(), text, true)
		if err == nil {
			break
		}
		if !errors.Is(err, errDied) || steps > 100 {
			t.Fatalf("step %d: %v", steps, err)
		}
		left.Store(1 << 40)
		_, err = g.Get(t.Context(), store.BirthKey)
		if steps > 4 && !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("step %d: half a store has a birth: %v", steps, err)
		}
		if steps%2 == 0 {
			continue // die again further on, over what is half done
		}
		_, err = g.restore(t.Context(), text, true)
		must(t, err)
		if g.status(t, "a") != mapping.StatusSuspended || g.status(t, "b") != mapping.StatusActive {
			t.Fatalf("step %d: a is %s, b is %s", steps, g.status(t, "a"), g.status(t, "b"))
		}
	}
	if steps < 6 {
		t.Errorf("only %d steps", steps)
	}
}

// TestMigrateComparesAndResumes proves F95 below the command: every step may be
// the last, and the source stays in use until both sides are the same.
func TestMigrateComparesAndResumes(t *testing.T) {
	from := newGate(t, embedded(t))
	for i := range 150 {
		from.create(t, fmt.Sprintf("u%03d", i), fmt.Sprintf("l%03d", i))
	}
	must(t, from.Commit(t.Context(), store.Put("session/x", nil)))
	d, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "k.db")})
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	left := &atomic.Int64{}
	to := sealed(t, dying{d, left})
	m := moving.Migration{From: from.Sealed, To: to, LeftOut: leave, Name: "elsewhere", Now: time.Now}
	steps := 0
	for ; ; steps++ {
		left.Store(1)
		if steps == 0 {
			left.Store(0)
		}
		done, err := m.Run(t.Context())
		if err == nil {
			if done.StoreID == "" || len(done.Digest) != 2*sha256.Size && done.Entries != 0 {
				t.Errorf("%+v", done)
			}
			break
		}
		if !errors.Is(err, errDied) || steps > 100 {
			t.Fatal(err)
		}
		birth, err := from.Get(t.Context(), store.BirthKey)
		must(t, err)
		if said, err := store.DecodeBirth(birth.Value); err != nil || said.MovedTo != "" {
			t.Fatalf("step %d: the source is out of use before the target is whole", steps)
		}
	}
	if steps < 4 {
		t.Errorf("only %d steps", steps)
	}
	if _, err := to.Get(t.Context(), "session/x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a session moved along: %v", err)
	}
	page, err := from.ScanSealed(t.Context(), "mapping/", "", store.MaxPage)
	must(t, err)
	for _, e := range page {
		if got, err := to.GetSealed(t.Context(), e.Key); err != nil || got.Version != e.Version {
			t.Errorf("%s: %v", e.Key, err)
		}
	}
	if _, err := (moving.Migration{From: from.Sealed, To: embedded(t), Name: "third", Now: time.Now}).Run(t.Context()); !errors.Is(err, moving.ErrMoved) {
		t.Errorf("moved twice: %v", err)
	}
	stranger := newGate(t, embedded(t))
	stranger.create(t, "x", "lx")
	if _, err := (moving.Migration{From: stranger.Sealed, To: to, Name: "taken", Now: time.Now}).Run(t.Context()); !errors.Is(err, moving.ErrOccupied) {
		t.Errorf("onto somebody else's: %v", err)
	}
}
