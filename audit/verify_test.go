package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// row is a record as the file holds it.
type row struct{ body, hash, mac []byte }

// written is a closed log of n records and its rows.
func written(t testing.TB, n int) (Config, []row) {
	t.Helper()
	c := setup(t)
	l := open(t, c)
	for i := range n {
		if err := l.Append(t.Context(), signIn(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return c, rowsOf(t, c.Dir)
}

func rowsOf(t testing.TB, dir string) (rows []row) {
	t.Helper()
	r, err := OpenReader(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	err = r.Each(t.Context(), Query{}, func(record Record) error {
		rows = append(rows, row{record.body, record.Hash[:], record.MAC[:]})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// anchored are the checkpoints of c's anchor, each by our key.
func anchored(t testing.TB, c Config) (lines []signedLine) {
	t.Helper()
	keys, err := deriveKeys(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(c.AnchorFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range bytes.Fields(text) {
		line, err := parseLine(raw)
		if err != nil || !line.verified(keys.public()) {
			t.Fatalf("anchor line %s: %v", raw, err)
		}
		lines = append(lines, line)
	}
	return lines
}

// walked gives the faults of rows under the key of the records and checkpoints.
func walked(mac []byte, checkpoints []signedLine, rows []row) faults {
	checker := newChecker(mac)
	checker.swear(checkpoints)
	checker.settle()
	for _, r := range rows {
		checker.record(r.body, r.hash, r.mac)
	}
	checker.end()
	return checker.faults
}

// TestChangedFileIsFound changes the file itself and asks the whole verifier.
func TestChangedFileIsFound(t *testing.T) { // T112
	swap := `UPDATE record SET id = CASE id WHEN 20 THEN -21 WHEN 21 THEN -20 END WHERE id IN (20, 21)`
	for name, test := range map[string]struct {
		kind    FaultKind
		changes []string
	}{
		"changed":                {FaultHash, []string{`UPDATE record SET body = replace(body, '"ok"', '"failed"') WHERE id = 20`}},
		"hash changed":           {FaultHash, []string{`UPDATE record SET hash = zeroblob(32) WHERE id = 20`}},
		"mac changed":            {FaultMAC, []string{`UPDATE record SET mac = zeroblob(32) WHERE id = 20`}},
		"deleted":                {FaultMissing, []string{`DELETE FROM record WHERE id BETWEEN 20 AND 25`}},
		"start deleted":          {FaultMissing, []string{`DELETE FROM record WHERE id < 5`}},
		"reordered":              {FaultOrder, []string{swap, `UPDATE record SET id = -id WHERE id < 0`}},
		"cut off":                {FaultTruncated, []string{`DELETE FROM record WHERE id > 30`, `DELETE FROM checkpoint`}},
		"emptied":                {FaultTruncated, []string{`DELETE FROM record`, `DELETE FROM checkpoint`}},
		"checkpoint changed":     {FaultSignature, []string{`UPDATE checkpoint SET line = replace(line, '"seq":60', '"seq":59')`}},
		"checkpoint garbage":     {FaultSignature, []string{`UPDATE checkpoint SET line = 'x'`}},
		"false trim":             {FaultSignature, []string{`INSERT INTO trim SELECT replica, line FROM checkpoint`}},
		"index dropped":          {FaultFile, []string{`DROP INDEX record_actor_did`}},
		"index over other words": {FaultFile, []string{`DROP INDEX record_actor_did`, `CREATE INDEX record_actor_did ON record (actor, at) WHERE id <> 20`}},
		"trigger added":          {FaultFile, []string{`CREATE TRIGGER hide AFTER INSERT ON record BEGIN DELETE FROM record WHERE id = new.id; END`}},
		"doubled":                {FaultOrder, []string{`DROP INDEX record_chain`, `INSERT INTO record (id, body, hash, mac) SELECT 1000, body, hash, mac FROM record WHERE id = 60`}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := written(t, 60)
			tamper(t, c.Dir, test.changes...)
			report, err := Verify(t.Context(), verifyConfig(c))
			if !errors.Is(err, ErrFault) {
				t.Fatalf("err %v, want ErrFault", err)
			}
			if !slices.ContainsFunc(report.Faults, func(f Fault) bool { return f.Kind == test.kind }) {
				t.Errorf("faults %v, want one of kind %s", report.Faults, test.kind)
			}
		})
	}
}

func TestFlippedBytesOfTheFileAreFound(t *testing.T) { // T112: wherever a record's text lies
	c, rows := written(t, 60)
	tamper(t, c.Dir, "PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM")
	path := filepath.Join(c.Dir, fileName)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		r := rows[rng.IntN(len(rows))]
		if !bytes.Contains(sound, r.body) {
			t.Fatal("the record's text is not in one piece")
		}
		changed := bytes.Clone(r.body)
		at := rng.IntN(len(changed))
		changed[at] ^= 1 << rng.IntN(8)
		flipped := bytes.ReplaceAll(sound, r.body, changed) // all: SQLite leaves old copies in free space
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(t.Context(), verifyConfig(c)); !errors.Is(err, ErrFault) {
			t.Errorf("byte %d of %s: %v", at, r.body, err)
		}
	}
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, verifyConfig(c))
}

func TestRemovedIndexEntryIsFound(t *testing.T) { // a search must not be made blind
	c, _ := written(t, 60)
	tamper(t, c.Dir,
		"PRAGMA writable_schema=ON",
		"UPDATE sqlite_schema SET sql = sql || ' AND id <> 20' WHERE name = 'record_actor_did'",
		"PRAGMA writable_schema=RESET", "REINDEX record_actor_did",
		"PRAGMA writable_schema=ON",
		"UPDATE sqlite_schema SET sql = replace(sql, ' AND id <> 20', '') WHERE name = 'record_actor_did'",
		"PRAGMA writable_schema=RESET")
	report, err := Verify(t.Context(), verifyConfig(c))
	if !errors.Is(err, ErrFault) || report.Faults[0].Kind != FaultFile {
		t.Errorf("%v, %v", err, report.Faults)
	}
}

// rewrite is the whole log again, with fitting hashes, by somebody who has not the key.
func rewrite(t *testing.T, c Config) {
	t.Helper()
	other := c
	other.Key, other.AnchorFile = bytes.Repeat([]byte("x"), 32), ""
	if err := os.RemoveAll(c.Dir); err != nil {
		t.Fatal(err)
	}
	l := open(t, other)
	appendMany(t, l, 60)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRewriteIsFoundByWhoeverHoldsAnyKey(t *testing.T) { // T112
	public, err := PublicKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		choose func(*VerifyConfig)
		found  bool
	}{
		"key":                   {func(v *VerifyConfig) { v.Anchor = "" }, true},
		"key and anchor":        {func(*VerifyConfig) {}, true},
		"public key":            {func(v *VerifyConfig) { v.Key, v.PublicKey, v.Anchor = nil, public, "" }, true},
		"public key and anchor": {func(v *VerifyConfig) { v.Key, v.PublicKey = nil, public }, true},
		"anchor alone":          {func(v *VerifyConfig) { v.Key = nil }, true},
		"nothing":               {func(v *VerifyConfig) { v.Key, v.Anchor = nil, "" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := written(t, 60)
			rewrite(t, c)
			v := verifyConfig(c)
			test.choose(&v)
			report, err := Verify(t.Context(), v)
			if errors.Is(err, ErrFault) != test.found {
				t.Errorf("err %v, faults %v", err, report.Faults)
			}
			if !test.found && !strings.Contains(strings.Join(report.NotProven, "\n"), "without the key") {
				t.Errorf("the report does not say what is open: %q", report.NotProven)
			}
		})
	}
}

func TestOlderCopyAndForkAreFound(t *testing.T) { // T112: rollback, fork
	c, _ := written(t, 30)
	snapshot := t.TempDir()
	if err := os.CopyFS(filepath.Join(snapshot, "audit"), os.DirFS(c.Dir)); err != nil {
		t.Fatal(err)
	}
	more := open(t, c)
	appendMany(t, more, 10)
	if err := more.Close(); err != nil {
		t.Fatal(err)
	}
	old := c
	old.Dir = filepath.Join(snapshot, "audit")
	report, err := Verify(t.Context(), verifyConfig(old))
	if !errors.Is(err, ErrFault) || report.Faults[0].Kind != FaultTruncated {
		t.Fatalf("older copy: %v %v", err, report.Faults)
	}
	fork := old
	fork.AnchorFile = "" // the forker keeps the anchor from knowing
	l := open(t, fork)
	appendMany(t, l, 20)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report, err = Verify(t.Context(), verifyConfig(old))
	if !errors.Is(err, ErrFault) || report.Faults[0].Kind != FaultCheckpoint {
		t.Errorf("fork: %v %v", err, report.Faults)
	}
}

func TestChangedAnchorIsFound(t *testing.T) { // T112
	c, _ := written(t, 30)
	sound, err := os.ReadFile(c.AnchorFile)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(sound); at += 3 {
		changed := bytes.Clone(sound)
		changed[at] ^= 1
		if err := os.WriteFile(c.AnchorFile, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		v := verifyConfig(c)
		v.Indexes = IndexesNever
		if report, err := Verify(t.Context(), v); !errors.Is(err, ErrFault) && sound[at] != '\n' {
			t.Errorf("byte %d (%q): %v %v", at, sound[at], err, report.Notes)
		}
	}
}

func TestVerifyWhileWriting(t *testing.T) { // F42: needs neither the gateway stopped
	c := setup(t)
	l := open(t, c)
	appendMany(t, l, 100)
	awaitAnchor(t, c)
	ctx, stop := context.WithCancel(t.Context())
	done, begun := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			if err := l.Append(t.Context(), signIn(i)); err != nil {
				t.Error(err)
			}
			if i == 0 {
				close(begun)
			}
		}
	}()
	<-begun // a busy machine may let the verifier run alone for a while
	var last uint64
	for range 8 {
		report := mustVerify(t, verifyConfig(c))
		if report.Records < last {
			t.Errorf("%d records after %d", report.Records, last)
		}
		last = report.Records
	}
	stop()
	<-done
	if last <= 100 {
		t.Errorf("the writer stood still: %d records", last)
	}
}

func TestVerifySeveralChains(t *testing.T) {
	c := setup(t)
	for _, replica := range []string{"node1", "node2", "node1"} {
		c.Replica = replica
		l := open(t, c)
		appendMany(t, l, 5)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	report := mustVerify(t, verifyConfig(c))
	if len(report.Chains) != 2 || report.Chains[0].Last != 10 || report.Chains[1].Last != 5 {
		t.Fatalf("chains %+v", report.Chains)
	}
	tamper(t, c.Dir, "DELETE FROM record WHERE replica = 'node2'", "DELETE FROM checkpoint WHERE replica = 'node2'")
	if _, err := Verify(t.Context(), verifyConfig(c)); !errors.Is(err, ErrFault) {
		t.Errorf("a chain that vanished: %v", err)
	}
}

func TestVerifySaysWhatItCannotRead(t *testing.T) {
	c, _ := written(t, 3)
	for name, v := range map[string]VerifyConfig{
		"no log":    {Dir: t.TempDir(), Key: testKey},
		"no anchor": {Dir: c.Dir, Anchor: filepath.Join(t.TempDir(), "none")},
		"short key": {Dir: c.Dir, Key: []byte("short")},
	} {
		if _, err := Verify(t.Context(), v); err == nil || errors.Is(err, ErrFault) {
			t.Errorf("%s: %v, want an error that is not a fault", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(c.Dir, fileName), bytes.Repeat([]byte("no log "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), verifyConfig(c)); err == nil {
		t.Error("a file that is no log was taken for one")
	}
}

// TestEmptiedFileIsFound: a log without its tables is a finding, not a file that
// cannot be read; and what a program reads of a report are lists, also empty ones.
func TestEmptiedFileIsFound(t *testing.T) { // T112
	c, _ := written(t, 3)
	good, err := Verify(t.Context(), verifyConfig(c))
	if text, _ := json.Marshal(good); err != nil || !bytes.Contains(text, []byte(`"faults":[]`)) {
		t.Errorf("%s, %v", text, err)
	}
	if err := os.Truncate(filepath.Join(c.Dir, fileName), 0); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), VerifyConfig{Dir: filepath.Join(c.Dir, fileName)})
	if !errors.Is(err, ErrFault) || report.Faults[0].Kind != FaultFile {
		t.Errorf("an emptied log: %+v, %v", report, err)
	}
	if text, _ := json.Marshal(report); !bytes.Contains(text, []byte(`"chains":[]`)) {
		t.Errorf("%s", text)
	}
}

func TestReportIsPlain(t *testing.T) { // F42: says plainly what it does not prove
	c, _ := written(t, 30)
	var seen []uint64
	v := verifyConfig(c)
	v.Now = func() time.Time { return time.Unix(0, 0) }
	v.Progress = func(done, total uint64) { seen = append(seen, done, total) }
	var text bytes.Buffer
	if err := mustVerify(t, v).WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"30 records in 1 chains", "node1: records 1 to 30", "written with the key", "does not prove", "whoever holds the key", "No fault found"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("report lacks %q:\n%s", want, &text)
		}
	}
	if !slices.Equal(seen, []uint64{30, 30}) {
		t.Errorf("progress %v", seen)
	}
	tamper(t, c.Dir, "DELETE FROM record WHERE id = 3")
	report, err := Verify(t.Context(), verifyConfig(c))
	text.Reset()
	if err := cmp.Or(err, report.WriteText(&text)); !errors.Is(err, ErrFault) {
		t.Fatal(err)
	}
	_ = report.WriteText(&text)
	if !strings.Contains(text.String(), "record 3 of node1 missing: record 2 is followed by 4") {
		t.Errorf("report:\n%s", &text)
	}
}

func TestFaultsAreBounded(t *testing.T) {
	var f faults
	for range 5000 {
		f.add(Fault{})
	}
	if f.total != 5000 || len(f.list) != maxFaults {
		t.Errorf("%d kept of %d", len(f.list), f.total)
	}
}
