package audit

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"
)

// another is a log of another replica under the same key.
func another(t testing.TB, name string) (*Log, Config) {
	t.Helper()
	c := setup(t)
	c.Replica = name
	return open(t, c), c
}

func mustPack(t testing.TB, l *Log, after uint64) Parcel {
	t.Helper()
	p, err := l.Pack(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// carry brings everything that from has to to.
func carry(t testing.TB, from, to *Log) {
	t.Helper()
	for {
		held, err := to.Held(t.Context(), from.config.Replica)
		if err != nil {
			t.Fatal(err)
		}
		p := mustPack(t, from, held)
		if len(p.Lines) == 0 {
			return
		}
		if err := to.Unpack(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEveryReplicaAnswersForAll proves F41 for replicas: what one wrote, the
// other finds, and its file verifies as a whole.
func TestEveryReplicaAnswersForAll(t *testing.T) {
	writer, _ := another(t, "node1")
	reader, c := another(t, "node2")
	appendMany(t, writer, 2500)
	appendMany(t, reader, 10)
	carry(t, writer, reader)
	carry(t, writer, reader) // nothing twice
	awaitAnchor(t, c)
	report := mustVerify(t, VerifyConfig{Dir: c.Dir, Key: c.Key, Anchor: c.AnchorFile, Indexes: IndexesAlways})
	if report.Records != 2510 || len(report.Chains) != 2 || report.Chains[0].Replica != "node1" || report.Chains[0].Sworn == 0 {
		t.Errorf("%d records, chains %+v", report.Records, report.Chains)
	}
	found, err := reader.Search(t.Context(), Query{Person: "dingcorp1/user03", Limit: 1000})
	if err != nil || len(found) != 126 {
		t.Errorf("%d records of the person, %v", len(found), err)
	}
	appendMany(t, writer, 5)
	carry(t, writer, reader)
	if held, err := reader.Held(t.Context(), "node1"); held != 2505 || err != nil {
		t.Errorf("held %d, %v", held, err)
	}
}

// TestParcelIsNotTrusted proves T112 on the way between replicas: whatever is
// changed, left out, doubled or moved in a parcel, nothing of it is kept.
func TestParcelIsNotTrusted(t *testing.T) {
	writer, _ := another(t, "node1")
	reader, _ := another(t, "node2")
	appendMany(t, writer, 40)
	good := mustPack(t, writer, 0)
	refuse := func(what string, p Parcel) {
		t.Helper()
		if err := reader.Unpack(t.Context(), p); err == nil {
			t.Fatalf("%s was taken", what)
		}
		if held, err := reader.Held(t.Context(), "node1"); held != 0 || err != nil {
			t.Fatalf("%s left %d records, %v", what, held, err)
		}
	}
	clone := func() Parcel {
		p := good
		p.Lines = nil
		for _, line := range good.Lines {
			p.Lines = append(p.Lines, bytes.Clone(line))
		}
		return p
	}
	for at := range good.Lines[7] { // every byte of one record
		p := clone()
		p.Lines[7][at] ^= 1
		refuse("a flipped bit", p)
	}
	for at := range good.Checkpoint {
		p := clone()
		p.Checkpoint = bytes.Clone(p.Checkpoint)
		p.Checkpoint[at] ^= 1
		if bytes.EqualFold(p.Checkpoint, good.Checkpoint) {
			continue // hexadecimal in capitals is the same signature
		}
		refuse("a changed checkpoint", p)
	}
	p := clone()
	p.Lines = slices.Delete(p.Lines, 3, 4)
	refuse("a hole", p)
	p = clone()
	p.Lines[3], p.Lines[4] = p.Lines[4], p.Lines[3]
	refuse("another order", p)
	p = clone()
	p.Replica = "node3"
	refuse("another's name", p)
	p = clone()
	p.Replica = "node2"
	refuse("our own name", p)
	p = clone()
	p.Lines = p.Lines[5:]
	p.First = 6
	if err := reader.Unpack(t.Context(), p); !errors.Is(err, ErrGap) {
		t.Errorf("a parcel from the middle: %v", err)
	}
	if err := reader.Unpack(t.Context(), good); err != nil {
		t.Error(err)
	}
}

// TestForkIsFound proves T112: a replica that began its chain anew is not
// joined to the old one.
func TestForkIsFound(t *testing.T) {
	first, _ := another(t, "node1")
	c := setup(t) // the same name, another folder
	// A day later: begun in the same millisecond, the two chains could be equal.
	c.Now = func() time.Time { return time.Now().Add(24 * time.Hour) }
	again := open(t, c)
	reader, _ := another(t, "node2")
	appendMany(t, first, 5)
	appendMany(t, again, 9)
	carry(t, first, reader)
	p := mustPack(t, again, 5)
	if err := reader.Unpack(t.Context(), p); err == nil || errors.Is(err, ErrGap) {
		t.Errorf("a fork: %v", err)
	}
}

// TestTrimmedChainIsJoined: a replica that comes after retention removed the
// start begins where the signed statement says, and nowhere else (R65).
func TestTrimmedChainIsJoined(t *testing.T) {
	c := setup(t)
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	c.Now = func() time.Time { return now }
	writer := open(t, c)
	appendMany(t, writer, 30)
	now = now.Add(MinRetention + 48*time.Hour)
	appendMany(t, writer, 5)
	if removed, err := writer.Trim(t.Context(), now.Add(-MinRetention)); removed != 30 || err != nil {
		t.Fatalf("removed %d, %v", removed, err)
	}
	p := mustPack(t, writer, 0)
	if p.First != 31 || len(p.Trim) == 0 {
		t.Fatalf("first %d, trim %q", p.First, p.Trim)
	}
	reader, rc := another(t, "node2")
	bare := p
	bare.Trim = nil
	if err := reader.Unpack(t.Context(), bare); !errors.Is(err, ErrGap) {
		t.Errorf("without the statement: %v", err)
	}
	forged := p
	forged.Trim = bytes.Replace(p.Trim, []byte(`"seq":30`), []byte(`"seq":29`), 1)
	if err := reader.Unpack(t.Context(), forged); err == nil {
		t.Error("a forged statement was taken")
	}
	if err := reader.Unpack(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	report := mustVerify(t, VerifyConfig{Dir: rc.Dir, Key: rc.Key})
	if len(report.Chains) != 1 || report.Chains[0].Trimmed != 30 {
		t.Errorf("chains %+v", report.Chains)
	}
}

func FuzzUnpack(f *testing.F) {
	writer, _ := another(f, "node1")
	appendMany(f, writer, 3)
	p := mustPack(f, writer, 0)
	reader, _ := another(f, "node2")
	f.Add(p.Lines[0], p.Checkpoint, p.Trim)
	f.Fuzz(func(t *testing.T, line, checkpoint, trim []byte) {
		if bytes.Equal(line, p.Lines[0]) {
			return
		}
		forged := Parcel{Replica: "node1", First: 1, Last: 1, Lines: [][]byte{line}, Checkpoint: checkpoint, Trim: trim}
		if err := reader.Unpack(t.Context(), forged); err == nil {
			t.Errorf("taken: %q", line)
		}
	})
}
