package audit_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"kdgate/audit"
)

// TestCopyWhileWriting proves the log's half of R64: a copy made in the middle
// of writing is a log of its own whose chain verifies, with nothing of the
// original moved.
func TestCopyWhileWriting(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	dir, to := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "copy")
	log, err := audit.Open(t.Context(), audit.Config{Dir: dir, Replica: "gate-1", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	append1 := func(i int) {
		event := audit.Event{Action: audit.ActionSignIn, Outcome: audit.OK, Actor: fmt.Sprint("dingcorp1/", i)}
		if err := log.Append(t.Context(), event); err != nil {
			t.Error(err)
		}
	}
	for i := range 50 {
		append1(i)
	}
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for range 50 {
				append1(i)
			}
		})
	}
	if _, err := log.CopyTo(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	append1(1000)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, place := range []string{dir, to} {
		report, err := audit.Verify(t.Context(), audit.VerifyConfig{Dir: place, Key: key})
		if err != nil || report.FaultCount != 0 {
			t.Fatalf("%s: %v %+v", place, err, report.Faults)
		}
		counts[place] = report.Records
	}
	if counts[dir] != 251 || counts[to] < 50 || counts[to] > 250 {
		t.Errorf("%d records, %d in the copy", counts[dir], counts[to])
	}
	if there, err := audit.Exists(to); err != nil || !there {
		t.Errorf("exists: %v %v", there, err)
	}
	if there, err := audit.Exists(t.TempDir()); err != nil || there {
		t.Errorf("in an empty folder: %v %v", there, err)
	}
	if _, err := log.CopyTo(t.Context(), to); err == nil {
		t.Error("a copy was written over another, or from a closed log")
	}
}
