package consent_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping/consent"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/storetest"
)

// failing are two registers over one log and a Redis that forgets, as the replica
// that a failover promotes does: one that wrote everything, and one that has seen
// nothing yet.
type failing struct {
	*office
	redis *storetest.Redis
	other *consent.Register
}

func newFailing(t *testing.T) *failing {
	t.Helper()
	f := &failing{office: &office{t: t, now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}, redis: storetest.StartRedis(t)}
	var err error
	f.log, err = audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: "test", Key: make([]byte, 32), Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, f.log.Close()) })
	f.Register, f.other = f.replica(), f.replica()
	return f
}

// replica is a register as internal/app joins it to its store.
func (f *failing) replica() *consent.Register {
	driver, err := redisstore.Open(redisstore.Config{Addrs: []string{f.redis.Addr}})
	must(f.t, err)
	f.t.Cleanup(func() { must(f.t, driver.Close()) })
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{make([]byte, store.MinSealKey)}, Edition: consent.Edition})
	must(f.t, err)
	g, err := consent.New(consent.Config{
		Store:    store.Accepting{Store: sealed, Renew: sealed.Renew, Harmless: consent.Harmless},
		Recorder: f, AsFound: sealed.AsFound(), Now: func() time.Time { return f.now },
		Changed: func(context.Context, identity.Subject) { f.told = append(f.told, "") },
	})
	must(f.t, err)
	return g
}

func (f *failing) failOver() {
	f.redis.Kill()
	f.redis.Start()
	for {
		if _, _, err := f.other.Of(f.t.Context(), person("nobody")); err == nil {
			return
		}
		must(f.t, f.t.Context().Err())
	}
}

func (f *failing) say(state consent.State, version string) {
	f.t.Helper()
	f.now = f.now.Add(time.Minute)
	_, err := f.Note(f.t.Context(), hr, person("zhangsan"), consent.Word{State: state, Version: version, Way: consent.Paper, Note: "file 7", Digest: "d" + version})
	must(f.t, err)
}

// reassert is one pass of a replica over the log.
func (f *failing) reassert(g *consent.Register) (changed int) {
	f.t.Helper()
	records, err := f.log.Search(f.t.Context(), audit.Query{Action: consent.ActionWithdraw})
	must(f.t, err)
	for i := len(records) - 1; i >= 0; i-- {
		did, err := g.Reassert(f.t.Context(), records[i])
		must(f.t, err)
		if did {
			changed++
		}
	}
	return changed
}

// TestWordsPutBack proves R14 and F44 for a row whose last words a failover lost: a
// consent that was withdrawn counts on no replica that saw it withdrawn, and on no
// other one once it has compared the log; one that was given is as if it had not
// been, at once; and nobody has to start anything anew.
func TestWordsPutBack(t *testing.T) {
	given, withdrawn := consent.Given, consent.Withdrawn
	withdraw := func(f *failing) { f.say(withdrawn, "1") }
	for name, tc := range map[string]struct {
		lost   func(f *failing)
		before string // of the replica that saw what was lost: its word, or "" for an error
		after  string // of both, once the log was compared
	}{
		"withdrawn":                   {withdraw, "", "withdrawn 1"},
		"withdrawn and given again":   {func(f *failing) { withdraw(f); f.say(given, "1") }, "given 1", "withdrawn 1"},
		"withdrawn, given, withdrawn": {func(f *failing) { withdraw(f); f.say(given, "2"); f.say(withdrawn, "2") }, "", "withdrawn 2"},
		"given to a newer text":       {func(f *failing) { f.say(given, "2") }, "given 1", "given 1"},
		"withdrawn by a file": {func(f *failing) {
			_, err := f.Import(t.Context(), hr, strings.NewReader("userid,state\nzhangsan,withdrawn\n"), consent.Usual{Corp: "dingcorp1", Version: "1"}, false)
			must(t, err)
		}, "", "withdrawn 1"},
		"nothing": {func(*failing) {}, "given 1", "given 1"},
	} {
		for _, first := range []string{"the one that saw it", "the other"} {
			t.Run(name+", "+first, func(t *testing.T) {
				f := newFailing(t)
				f.say(given, "1")
				f.say(withdrawn, "1") // long ago, and withdrawn no more: the log still tells it
				f.say(given, "1")
				f.redis.Do("SAVE") // all that the new master will know
				tc.lost(f)
				f.failOver()
				f.wants(f.Register, tc.before)
				f.wants(f.other, "given 1")
				replicas := []*consent.Register{f.Register, f.other}
				if first == "the other" {
					replicas = []*consent.Register{f.other, f.Register}
				}
				for _, g := range replicas {
					f.reassert(g)
					f.wants(g, tc.after)
				}
				for _, g := range replicas {
					if f.reassert(g) != 0 {
						t.Error("what is right was put right")
					}
					f.wants(g, tc.after)
				}
				f.say(given, "3")
				f.wants(f.Register, "given 3")
				if f.reassert(f.Register) != 0 {
					t.Error("a consent given since is taken back")
				}
			})
		}
	}
}

func (f *failing) wants(g *consent.Register, word string) {
	f.t.Helper()
	row, _, err := g.Of(f.t.Context(), person("zhangsan"))
	got := string(row.State) + " " + row.Version
	if errors.Is(err, store.ErrOutdated) {
		got, err = "", nil
	}
	if err != nil || got != word {
		f.t.Errorf("%q, %v, want %q", got, err, word)
	}
}

// TestReassertedWord: what is put back in force says who withdrew when, and a row
// that a failover took altogether is there again.
func TestReassertedWord(t *testing.T) {
	f := newFailing(t)
	f.redis.Do("SAVE")
	f.say(consent.Withdrawn, "1")
	said := f.now
	f.failOver()
	if f.reassert(f.other) != 1 || len(f.told) != 2 {
		t.Fatalf("not put back, or told %d times", len(f.told))
	}
	row, there, err := f.Of(t.Context(), person("zhangsan"))
	if must(t, err); !there || !row.At.Equal(said) || row.By != hr.Name || row.Way != consent.Paper || row.Digest != "d1" || row.Noted.IsZero() {
		t.Errorf("%v %+v", there, row)
	}
	for name, r := range map[string]audit.Record{
		"another act": {Event: audit.Event{Action: consent.ActionGive, Outcome: audit.OK, Target: "dingcorp1/lisi", Detail: map[string]string{"at": "2026-03-01T00:00:00Z"}}},
		"refused":     {Event: audit.Event{Action: consent.ActionWithdraw, Outcome: audit.Refused, Target: "dingcorp1/lisi", Detail: map[string]string{"at": "2026-03-01T00:00:00Z"}}},
		"no time":     {Event: audit.Event{Action: consent.ActionWithdraw, Outcome: audit.OK, Target: "dingcorp1/lisi"}},
		"nobody":      {Event: audit.Event{Action: consent.ActionWithdraw, Outcome: audit.OK, Target: "dingcorp1", Detail: map[string]string{"at": "2026-03-01T00:00:00Z"}}},
	} {
		if did, err := f.Reassert(t.Context(), r); did || err != nil {
			t.Errorf("%s: %v, %v", name, did, err)
		}
	}
}

// TestWithdrawalNotToldYet: where the log does not tell the withdrawal that was seen,
// a consent that a failover put back stays an error, whatever older ones it tells.
func TestWithdrawalNotToldYet(t *testing.T) {
	f := newFailing(t)
	f.say(consent.Given, "1")
	f.say(consent.Withdrawn, "1")
	f.say(consent.Given, "1")
	f.redis.Do("SAVE")
	f.say(consent.Withdrawn, "1")
	f.failOver()
	records, err := f.log.Search(t.Context(), audit.Query{Action: consent.ActionWithdraw})
	must(t, err)
	if did, err := f.Reassert(t.Context(), records[len(records)-1]); did || err != nil {
		t.Errorf("%v, %v", did, err)
	}
	f.wants(f.Register, "")
	if f.reassert(f.Register) != 1 {
		t.Error("the log that tells it changes nothing")
	}
	f.wants(f.Register, "withdrawn 1")
}
