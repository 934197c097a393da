package consent_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping/consent"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// office is a register over a real store and a real log.
type office struct {
	*consent.Register
	t     *testing.T
	store store.Store
	log   *audit.Log
	now   time.Time
	told  []string
	deaf  bool // the log takes nothing
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Append implements consent.Recorder.
func (o *office) Append(ctx context.Context, e audit.Event) error {
	if o.deaf {
		return errors.New("the log is full")
	}
	return o.log.Append(ctx, e)
}

func open(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	o.store, err = store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	must(t, err)
	o.log, err = audit.Open(t.Context(), audit.Config{Dir: t.TempDir(), Replica: "test", Key: key, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, o.log.Close()) })
	o.Register, err = consent.New(consent.Config{
		Store: o.store, Recorder: o, Now: func() time.Time { return o.now },
		Changed: func(_ context.Context, who identity.Subject) { o.told = append(o.told, who.UserID) },
	})
	must(t, err)
	return o
}

func person(userid string) identity.Subject {
	return identity.Subject{Corp: "dingcorp1", UserID: userid}
}

var hr = consent.Actor{Name: "dingcorp1/manager01", Source: "192.0.2.1"}

// F44: a row holds what was said, when, by whom and how, and all that was said
// before; each word is on record before it counts; the same word twice is one.
func TestWordsOfAPerson(t *testing.T) {
	o := open(t)
	who := person("zhangsan")
	self := consent.Actor{Name: "dingcorp1/zhangsan", Door: "in-client"}
	row, err := o.Note(t.Context(), self, who, consent.Word{State: consent.Given, Version: "1", Way: consent.Self, Digest: "d1"})
	must(t, err)
	if !row.Counts("1") || row.Counts("2") || row.By != self.Name || !row.At.Equal(o.now) {
		t.Errorf("%+v", row)
	}
	_, err = o.Note(t.Context(), self, who, consent.Word{State: consent.Given, Version: "1", Way: consent.Self})
	must(t, err)
	o.now = o.now.Add(time.Hour)
	_, err = o.Note(t.Context(), hr, who, consent.Word{State: consent.Withdrawn, Version: "1", Way: consent.Paper, Note: "file 7"})
	must(t, err)
	row, there, err := o.Of(t.Context(), who)
	if must(t, err); !there || row.State != consent.Withdrawn || len(row.Before) != 1 || row.Before[0].Digest != "d1" || row.Counts("1") {
		t.Errorf("%+v", row)
	}
	records, err := o.log.Search(t.Context(), audit.Query{Person: "dingcorp1/zhangsan"})
	if must(t, err); len(records) != 2 || records[0].Action != consent.ActionWithdraw || records[1].Action != consent.ActionGive || records[1].Detail["digest"] != "d1" {
		t.Errorf("%+v", records)
	}
	if got := strings.Join(o.told, " "); got != "zhangsan zhangsan" {
		t.Errorf("told %q", got)
	}
	o.deaf = true
	if _, err := o.Note(t.Context(), self, who, consent.Word{State: consent.Given, Version: "1", Way: consent.Self}); err == nil {
		t.Error("a word without a record")
	}
	if row, _, _ := o.Of(t.Context(), who); row.State != consent.Withdrawn {
		t.Error("it counts without a record")
	}
}

// A word that would prove nothing later is refused.
func TestRefusedWords(t *testing.T) {
	o := open(t)
	good := consent.Word{State: consent.Given, Version: "1", Way: consent.Paper, Note: "file 7"}
	for name, change := range map[string]func(*consent.Word){
		"state":   func(w *consent.Word) { w.State = "maybe" },
		"version": func(w *consent.Word) { w.Version = "" },
		"way":     func(w *consent.Word) { w.Way = "rumour" },
		"paper":   func(w *consent.Word) { w.Note = " " },
		"long":    func(w *consent.Word) { w.Note = strings.Repeat("x", 501) },
		"future":  func(w *consent.Word) { w.At = o.now.Add(time.Hour) },
	} {
		word := good
		change(&word)
		if _, err := o.Note(t.Context(), hr, person("a"), word); identity.KindOf(err) != identity.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.Note(t.Context(), hr, identity.Subject{Corp: "dingcorp1"}, good); identity.KindOf(err) != identity.Invalid {
		t.Errorf("nobody: %v", err)
	}
}

// A file is written whole or not at all, withdrawals included; what is exported
// is harmless in a spreadsheet (T103) and can be imported again.
func TestSheets(t *testing.T) {
	o := open(t)
	usual := consent.Usual{Corp: "dingcorp1", Version: "1"}
	bring := func(text string, dry bool) consent.Report {
		t.Helper()
		report, err := o.Import(t.Context(), hr, strings.NewReader(text), usual, dry)
		must(t, err)
		return report
	}
	const good = "\ufeffuserid,state,at,note\r\nzhangsan,given,2026-02-01,\"'=cmd\"\r\nlisi,withdrawn,2026-02-01T08:00:00+08:00,\r\n"
	if r := bring(good, true); r.Rows != 2 || r.Changed != 2 || len(o.told) != 0 {
		t.Errorf("a preview: %+v", r)
	}
	if r := bring("userid,state\nzhangsan,given\nlisi,perhaps\nzhangsan,given\n", false); len(r.Faults) != 2 || r.Faults[0].Line != 3 || r.Faults[1].Line != 4 {
		t.Errorf("wrong lines: %+v", r)
	}
	if _, there, err := o.Of(t.Context(), person("zhangsan")); there || err != nil {
		t.Error("a file with wrong lines wrote something")
	}
	if r := bring(good, false); r.Changed != 2 {
		t.Errorf("%+v", r)
	}
	if r := bring(good, false); r.Changed != 0 || r.Same != 2 {
		t.Errorf("again: %+v", r)
	}
	row, _, err := o.Of(t.Context(), person("zhangsan"))
	if must(t, err); row.Note != "=cmd" || row.At.Format(time.RFC3339) != "2026-01-31T16:00:00Z" || row.Digest == "" || row.Way != consent.Import {
		t.Errorf("%+v", row)
	}
	var out bytes.Buffer
	must(t, o.Export(t.Context(), hr, &out, consent.Filter{}))
	if text := out.String(); strings.Contains(text, ",=cmd") || !strings.Contains(text, "'=cmd") {
		t.Errorf("%s", text)
	}
	o2 := open(t)
	if report, err := o2.Import(t.Context(), hr, &out, usual, false); err != nil || report.Changed != 2 {
		t.Errorf("its own export: %+v %v", report, err)
	}
	for _, file := range []string{"", "userid\nx\n", "userid,state,colour\n", "userid,userid,state\n", "userid,state\n\"x", "userid,state\n\xff,given\n"} {
		if _, err := o.Import(t.Context(), hr, strings.NewReader(file), usual, false); identity.KindOf(err) != identity.Invalid {
			t.Errorf("%q: %v", file, err)
		}
	}
}

// Lists page by person, and count each to the version in force.
func TestListsAndTally(t *testing.T) {
	o := open(t)
	var b strings.Builder
	b.WriteString("userid,state,version\n")
	for i := range 1200 {
		fmt.Fprintf(&b, "u%04d,%s,%d\n", i, map[bool]string{true: "given", false: "withdrawn"}[i%3 != 0], 1+i%2)
	}
	_, err := o.Import(t.Context(), hr, strings.NewReader(b.String()), consent.Usual{Corp: "dingcorp1", Version: "1"}, false)
	must(t, err)
	tally, err := o.Tally(t.Context(), "dingcorp1", "1")
	if must(t, err); tally != (consent.Tally{Given: 400, Earlier: 400, Withdrawn: 400}) {
		t.Errorf("%+v", tally)
	}
	agreed, err := o.Agreed(t.Context(), "dingcorp1", "2")
	if must(t, err); len(agreed) != 400 || !agreed["u0001"] || agreed["u0002"] {
		t.Errorf("%d agreed", len(agreed))
	}
	seen, after := 0, ""
	for {
		rows, next, err := o.List(t.Context(), consent.Filter{State: consent.Withdrawn, Text: "U"}, after, 70)
		must(t, err)
		seen += len(rows)
		if after = next; after == "" {
			break
		}
	}
	if seen != 400 {
		t.Errorf("%d rows", seen)
	}
}

// FuzzImport: a file from outside is taken, refused or told to have wrong lines;
// it never breaks the program, and what is taken is in the register.
func FuzzImport(f *testing.F) {
	f.Add("userid,state\nzhangsan,given\n")
	f.Add("userid,state,at\n'=x,withdrawn,2026-01-01\n")
	f.Add("\ufeffuserid;state\n")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := consent.New(consent.Config{Store: nowhere{}, Recorder: silent{}, Now: func() time.Time { return time.Unix(1.8e9, 0) }})
		must(t, err)
		report, err := g.Import(t.Context(), hr, strings.NewReader(text), consent.Usual{Corp: "dingcorp1", Version: "1"}, true)
		if err == nil && report.Changed+report.Same+len(report.Faults) > report.Rows {
			t.Errorf("%+v", report)
		}
	})
}

// nowhere is a store in which nothing is.
type nowhere struct{ store.Store }

func (nowhere) Get(context.Context, string) (store.Entry, error) {
	return store.Entry{}, store.ErrNotFound
}

type silent struct{}

func (silent) Append(context.Context, audit.Event) error { return nil }
