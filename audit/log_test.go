package audit

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/identity"
)

var testKey = bytes.Repeat([]byte("k"), 32)

// setup is a log in a temporary folder with an anchor beside, not in, it.
func setup(t testing.TB) Config {
	t.Helper()
	root := t.TempDir()
	return Config{Dir: filepath.Join(root, "audit"), Replica: "node1", Key: testKey, AnchorFile: filepath.Join(root, "anchor.jsonl")}
}

func open(t testing.TB, c Config) *Log {
	t.Helper()
	l, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func signIn(n int) Event {
	return Event{
		Action: ActionSignIn, Outcome: OK, Actor: fmt.Sprintf("dingcorp1/user%02d", n%20),
		Door: string(identity.DoorInClient), DataCentre: "live", Source: "10.0.0.1",
		UserAgent: "Mozilla/5.0 (Linux; Android 10) DingTalk/6.5", RequestID: fmt.Sprintf("req-%d", n),
	}
}

func appendMany(t testing.TB, l *Log, n int) {
	t.Helper()
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			for i := worker; i < n; i += 16 {
				if err := l.Append(t.Context(), signIn(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

// awaitAnchor waits for the first checkpoint to be anchored: appends do not wait
// for it, and a log does not verify with an anchor that is not there.
func awaitAnchor(t testing.TB, c Config) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for {
		text, err := os.ReadFile(c.AnchorFile)
		if bytes.HasSuffix(text, []byte("\n")) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("no checkpoint is anchored: %q, %v", text, err)
		}
	}
}

func verifyConfig(c Config) VerifyConfig {
	return VerifyConfig{Dir: c.Dir, Key: c.Key, Anchor: c.AnchorFile}
}

func mustVerify(t testing.TB, c VerifyConfig) Report {
	t.Helper()
	report, err := Verify(t.Context(), c)
	if err != nil {
		t.Fatalf("verify: %v\n%v", err, report.Faults)
	}
	return report
}

func TestAppendedRecordReadsBackWhole(t *testing.T) { // T116, F40
	c := setup(t)
	now := time.Date(2026, 3, 4, 5, 6, 7, 891_234_567, time.FixedZone("CST", 8*3600))
	c.Now = func() time.Time { return now }
	l := open(t, c)
	want := Event{
		Action: ActionMappingChange, Outcome: Refused, Reason: string(identity.CodePrivilegedUser),
		Actor: Person(identity.Subject{Corp: "dingcorp1", UserID: "manager01"}), OnBehalfOf: "dingcorp1/u2", Target: "dingcorp1/张三",
		Door: "browser", DataCentre: "live", Source: "2001:db8::1", UserAgent: "curl/8", RequestID: "r-1",
		Before: `{"login_user":"a"}`, After: `{"login_user":"<b>&"}`, Detail: map[string]string{"approvals": "1", "金额": "¥5"},
	}
	if err := l.Append(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	records, err := l.Search(t.Context(), Query{})
	if err != nil || len(records) != 1 {
		t.Fatalf("got %d records, %v", len(records), err)
	}
	r := records[0]
	if fmt.Sprintf("%+v", r.Event) != fmt.Sprintf("%+v", want) {
		t.Errorf("event\n got %+v\nwant %+v", r.Event, want)
	}
	if !r.At.Equal(now.Truncate(time.Millisecond)) || r.At.Location() != time.UTC {
		t.Errorf("at %v, want %v in UTC", r.At, now)
	}
	if r.Seq != 1 || r.Replica != "node1" || r.PrevHash != (Digest{}) || r.Hash == (Digest{}) {
		t.Errorf("place in the chain: %+v", r)
	}
}

func TestAppendRefusesEventWithoutActionOrOutcome(t *testing.T) {
	l := open(t, setup(t))
	for _, e := range []Event{{Outcome: OK}, {Action: ActionMint}, {Action: ActionMint, Outcome: "maybe"}} {
		if err := l.Append(t.Context(), e); identity.KindOf(err) != identity.Invalid {
			t.Errorf("%+v: %v, want Invalid", e, err)
		}
	}
	if records, err := l.Search(t.Context(), Query{}); err != nil || len(records) != 0 {
		t.Errorf("%d records, %v; want none", len(records), err)
	}
}

func TestConcurrentAppendsMakeOneChain(t *testing.T) { // T112
	c := setup(t)
	l := open(t, c)
	appendMany(t, l, 2200)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report := mustVerify(t, verifyConfig(c))
	if report.Records != 2200 || report.Chains[0].Last != 2200 || report.Chains[0].Sworn != 2200 {
		t.Errorf("report %+v", report)
	}
	if report.Checkpoints < 2 {
		t.Errorf("%d checkpoints for 2,200 records", report.Checkpoints)
	}
}

func TestChainGoesOnAfterReopen(t *testing.T) {
	c := setup(t)
	for range 3 {
		l := open(t, c)
		appendMany(t, l, 5)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if report := mustVerify(t, verifyConfig(c)); report.Records != 15 || report.Chains[0].Last != 15 {
		t.Errorf("report %+v", report)
	}
}

func TestSecondGatewayIsRefused(t *testing.T) {
	c := setup(t)
	open(t, c)
	if l, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second Open: %v, %v", l, err)
	}
}

// TestNextGatewayWaits: whoever starts while the one before is on its way out gets
// the folder a moment later.
func TestNextGatewayWaits(t *testing.T) {
	c := setup(t)
	first := open(t, c)
	defer time.AfterFunc(200*time.Millisecond, func() { _ = first.Close() }).Stop()
	next, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesWrongConfiguration(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no folder":   func(c *Config) { c.Dir = "" },
		"no replica":  func(c *Config) { c.Replica = "" },
		"its length":  func(c *Config) { c.Replica = strings.Repeat("n", 65) },
		"odd replica": func(c *Config) { c.Replica = "a/b\n" },
		"short key":   func(c *Config) { c.Key = testKey[:31] },
		"folder a file": func(c *Config) {
			if err := os.WriteFile(c.Dir, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := setup(t)
			spoil(&c)
			if l, err := Open(t.Context(), c); err == nil {
				_ = l.Close()
				t.Error("opened")
			}
		})
	}
}

func TestAppendAfterCloseIsUnavailable(t *testing.T) {
	l := open(t, setup(t))
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	err := l.Append(t.Context(), signIn(1))
	if !errors.Is(err, ErrClosed) || identity.KindOf(err) != identity.Unavailable || identity.CodeOf(err) != identity.CodeAuditDown {
		t.Errorf("got %v", err)
	}
}

func TestAppendsRacingCloseAreAnsweredTruly(t *testing.T) {
	c := setup(t)
	l := open(t, c)
	var acknowledged sync.Map
	var group sync.WaitGroup
	started := make(chan struct{}, 8)
	for worker := range 8 {
		group.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", worker, i)
				if err := l.Append(t.Context(), Event{Action: ActionMint, Outcome: OK, RequestID: id}); err != nil {
					return
				}
				acknowledged.Store(id, true)
				if i == 3 {
					started <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		<-started
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	acknowledged.Range(func(id, _ any) bool {
		if !stored(t, c.Dir)[id.(string)] {
			t.Errorf("%v was acknowledged and is lost", id)
		}
		return true
	})
}

// stored is the set of request ids in the log.
func stored(t testing.TB, dir string) map[string]bool {
	t.Helper()
	r, err := OpenReader(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	ids := map[string]bool{}
	if err := r.Each(t.Context(), Query{}, func(record Record) error { ids[record.RequestID] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestFullDiskRefusesAndRecoversWithoutRestart(t *testing.T) { // R37, T111
	c := setup(t)
	l := open(t, c)
	appendMany(t, l, 10)
	limit := func(pages int) {
		if _, err := l.write.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count=%d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite takes the present size when asked for less
	big := Event{Action: ActionMint, Outcome: OK, Before: strings.Repeat("x", 4000), After: strings.Repeat("y", 4000)}
	var err error
	for range 20 {
		if err = l.Append(t.Context(), big); err != nil {
			break
		}
	}
	if identity.KindOf(err) != identity.Unavailable || identity.CodeOf(err) != identity.CodeAuditDown {
		t.Fatalf("full disk: %v", err)
	}
	limit(1 << 30)
	if err := l.Append(t.Context(), big); err != nil {
		t.Fatalf("after space returned: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, verifyConfig(c))
}

func TestWriterDoesNotWriteOverAForeignTip(t *testing.T) {
	c := setup(t)
	l := open(t, c)
	appendMany(t, l, 10)
	tamper(t, c.Dir, "DELETE FROM record WHERE id > 7")
	l.writer.doubt = true // as after a failed commit; the writer is idle
	if err := l.Append(t.Context(), signIn(1)); identity.CodeOf(err) != identity.CodeAuditDown || !strings.Contains(err.Error(), "audit verify") {
		t.Errorf("got %v", err)
	}
}

func TestCheckpointComesByTime(t *testing.T) { // T112: 60 seconds or 1,000 records
	c := setup(t)
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if err := l.Append(t.Context(), signIn(i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(61 * time.Second) // the bubble's clock
		synctest.Wait()
		if text, err := os.ReadFile(c.AnchorFile); err != nil || bytes.Count(text, []byte("\n")) != 2 {
			t.Errorf("anchor %q, %v; want one line for the start and one for the minute", text, err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if text, _ := os.ReadFile(c.AnchorFile); bytes.Count(text, []byte("\n")) != 2 {
			t.Errorf("anchor %q; nothing was appended, so nothing new is to be sworn", text)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAnchorThatIsDownHoldsNothingUp(t *testing.T) {
	c := setup(t)
	c.AnchorFile = filepath.Join(t.TempDir(), "away", "anchor.jsonl")
	l := open(t, c)
	appendMany(t, l, 50)
	if err := l.Close(); err == nil || l.AnchorErr() == nil {
		t.Error("a checkpoint that could not be anchored was not told")
	}
	if err := os.Mkdir(filepath.Dir(c.AnchorFile), 0o700); err != nil {
		t.Fatal(err)
	}
	again := open(t, c)
	appendMany(t, again, 1)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if report := mustVerify(t, verifyConfig(c)); report.Chains[0].Sworn != 51 {
		t.Errorf("sworn to %d, want 51", report.Chains[0].Sworn)
	}
}

func TestTornAnchorLineIsNotedAndPassed(t *testing.T) { // R38
	c := setup(t)
	for range 2 {
		l := open(t, c)
		appendMany(t, l, 3)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(c.AnchorFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.AnchorFile, text[:len(text)-40], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, c)
	appendMany(t, l, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report := mustVerify(t, verifyConfig(c))
	if len(report.Notes) != 2 || report.Chains[0].Sworn != 7 {
		t.Errorf("notes %q, sworn %d", report.Notes, report.Chains[0].Sworn)
	}
}

func TestOpenRefusesDamagedEnd(t *testing.T) { // T112
	for name, damage := range map[string]string{
		"changed":     `UPDATE record SET body = replace(body, 'req-9"', 'req-8"') WHERE id = 10`,
		"foreign mac": `UPDATE record SET mac = zeroblob(32) WHERE id = 9`,
		"gap":         `DELETE FROM record WHERE id = 8`,
		"older copy":  `DELETE FROM record WHERE id > 6`,
	} {
		t.Run(name, func(t *testing.T) {
			c := setup(t)
			l := open(t, c)
			for i := range 10 {
				if err := l.Append(t.Context(), signIn(i)); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			tamper(t, c.Dir, damage)
			again, err := Open(t.Context(), c)
			if err == nil {
				_ = again.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), "kdgate audit verify") {
				t.Errorf("%v: does not say what to do", err)
			}
		})
	}
}

// tamper changes the file behind the log's back.
func tamper(t testing.TB, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, fileName), "_pragma=busy_timeout(5000)"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	for _, statement := range statements {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestRecordLineIsValidJSON(t *testing.T) {
	l := open(t, setup(t))
	appendMany(t, l, 1)
	records, err := l.Search(t.Context(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := records[0].WriteLine(&out); err != nil || !json.Valid(out.Bytes()) {
		t.Errorf("%s, %v", out.Bytes(), err)
	}
	marshalled, err := json.Marshal(records[0])
	if err != nil || string(marshalled)+"\n" != out.String() {
		t.Errorf("json.Marshal gives other bytes than were hashed:\n%s\n%s", marshalled, out.Bytes())
	}
}
