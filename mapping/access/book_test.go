package access_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/handclock"
	"kdgate/mapping/access"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// office is a book over a real store and a real log.
type office struct {
	*access.Book
	store store.Store
	log   *audit.Log
	told  *told
	clock *handclock.Clock
}

// told is a Notifier that remembers.
type told struct {
	mu    sync.Mutex
	asked []access.Request
	made  []access.Request
}

func (n *told) Asked(_ context.Context, r access.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, r)
}

func (n *told) Decided(_ context.Context, r access.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.made = append(n.made, r)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newOffice(t *testing.T, change func(*access.Config)) *office {
	t.Helper()
	o := &office{told: &told{}, clock: handclock.New(time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC))}
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	key := []byte("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")
	o.store, err = store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	must(t, err)
	o.log, err = audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: "test", Key: key})
	must(t, err)
	t.Cleanup(func() { must(t, o.log.Close()) })
	cfg := access.Config{Store: o.store, Recorder: o.log, Notifier: o.told, Now: o.clock.Now}
	if change != nil {
		change(&cfg)
	}
	o.Book, err = access.New(cfg)
	must(t, err)
	return o
}

func key(userid string) access.Key {
	return access.Key{DataCentre: "live", Corp: "dingcorp1", UserID: userid}
}

func person(userid string) access.Actor {
	return access.Actor{Name: "dingcorp1/" + userid, Door: "browser"}
}

var manager = access.Actor{Name: "dingcorp1/manager01"}

func (o *office) ask(t *testing.T, userid string) access.Request {
	t.Helper()
	r, err := o.Ask(t.Context(), person(userid), key(userid), "员工"+userid, identity.CodeNotMapped)
	must(t, err)
	return r
}

func (o *office) records(t *testing.T, action audit.Action) []audit.Record {
	t.Helper()
	found, err := o.log.Search(t.Context(), audit.Query{Action: action})
	must(t, err)
	return found
}

// F11: asking twice is asking once, also at the same moment; requests are
// listed oldest first, and each is on record and told of once.
func TestOneOpenRequest(t *testing.T) {
	o := newOffice(t, nil)
	o.ask(t, "a/b")
	o.clock.Advance(time.Minute)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := o.Ask(t.Context(), person("c"), key("c"), "丙", identity.CodeNoLoginUser); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	first, next, err := o.Open(t.Context(), "", 1)
	must(t, err)
	second, end, err := o.Open(t.Context(), next, 2)
	must(t, err)
	if len(first) != 1 || first[0].UserID != "a/b" || first[0].Name != "员工a/b" || len(second) != 1 || second[0].UserID != "c" || end != "" {
		t.Errorf("%+v, %+v, %q", first, second, end)
	}
	if len(o.told.asked) != 2 {
		t.Errorf("told %d times", len(o.told.asked))
	}
	if r, there, err := o.Of(t.Context(), key("nobody")); there || err != nil {
		t.Errorf("%+v %v", r, err)
	}
}

// F11, T100: a decision is by somebody else, is made once, is on record and
// reaches the person; after a refusal one may ask again, but not at once.
func TestDecisions(t *testing.T) {
	o := newOffice(t, nil)
	o.ask(t, "a")
	if _, err := o.Grant(t.Context(), person("a"), key("a")); identity.CodeOf(err) != identity.CodeFourEyes {
		t.Errorf("granted to oneself: %v", err)
	}
	for _, reason := range []string{"", strings.Repeat("字", 200)} {
		if _, err := o.Refuse(t.Context(), manager, key("a"), reason); identity.KindOf(err) != identity.Invalid {
			t.Errorf("refused for %q: %v", reason, err)
		}
	}
	r, err := o.Refuse(t.Context(), manager, key("a"), "请先办理入职")
	must(t, err)
	if r.State != access.Refused || r.By != manager.Name || r.Reason == "" || len(o.told.made) != 1 {
		t.Errorf("%+v", r)
	}
	if _, err := o.Grant(t.Context(), manager, key("a")); identity.KindOf(err) != identity.Conflict {
		t.Errorf("decided twice: %v", err)
	}
	if _, err := o.Grant(t.Context(), manager, key("x")); identity.KindOf(err) != identity.NotFound {
		t.Errorf("nobody asked: %v", err)
	}
	if _, err := o.Ask(t.Context(), person("a"), key("a"), "", identity.CodeNotMapped); identity.KindOf(err) != identity.Throttled {
		t.Errorf("asked again at once: %v", err)
	}
	o.clock.Advance(time.Hour)
	if again := o.ask(t, "a"); again.State != access.Open || again.Reason != "" {
		t.Errorf("%+v", again)
	}
	granted, err := o.Grant(t.Context(), manager, key("a"))
	must(t, err)
	if open, _, err := o.Open(t.Context(), "", 10); granted.State != access.Granted || err != nil || len(open) != 0 {
		t.Errorf("%+v, open %+v, %v", granted, open, err)
	}
	if asked, decided := o.records(t, audit.ActionAccessRequest), o.records(t, audit.ActionAccessDecide); len(asked) != 2 || len(decided) != 2 ||
		decided[1].Reason != "请先办理入职" || decided[1].Target != "dingcorp1/a" || asked[0].Reason != "KD-201" {
		t.Errorf("%+v\n%+v", asked, decided)
	}
}

// A flood of requests ends at a bound, and nothing is done that is not recorded (T111).
func TestBounds(t *testing.T) {
	o := newOffice(t, func(c *access.Config) { c.MaxOpen = 2 })
	o.ask(t, "a")
	o.ask(t, "b")
	if _, err := o.Ask(t.Context(), person("c"), key("c"), "", identity.CodeNotMapped); identity.KindOf(err) != identity.Throttled {
		t.Errorf("a third: %v", err)
	}
	must(t, o.log.Close())
	if _, err := o.Grant(t.Context(), manager, key("a")); identity.CodeOf(err) != identity.CodeAuditDown {
		t.Errorf("off the record: %v", err)
	}
	if r, _, err := o.Of(t.Context(), key("a")); err != nil || r.State != access.Open {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := access.New(access.Config{}); err == nil || errors.Is(err, store.ErrConflict) {
		t.Error("a book without a store")
	}
}
