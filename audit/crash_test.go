package audit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// crashEnv makes this test binary append until it is killed.
const crashEnv = "KDGATE_AUDIT_TEST_CRASH_ROOT"

func TestKillLosesNothingAcknowledged(t *testing.T) { // R37, T111
	if root := os.Getenv(crashEnv); root != "" {
		appendUntilKilled(t, root)
		return
	}
	root := t.TempDir()
	c := crashConfig(root)
	acknowledged := map[string]bool{}
	for round := range 3 {
		for id := range killedChild(t, root, round) {
			acknowledged[id] = true
		}
		v := verifyConfig(c)
		if _, err := os.Stat(v.Anchor); err != nil {
			v.Anchor = "" // killed before the first checkpoint left
		}
		if report := mustVerify(t, v); report.Records < uint64(len(acknowledged)) {
			t.Fatalf("round %d: %d records for %d acknowledged", round, report.Records, len(acknowledged))
		}
	}
	ids := stored(t, c.Dir)
	for id := range acknowledged {
		if !ids[id] {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
}

func crashConfig(root string) Config {
	return Config{Dir: filepath.Join(root, "audit"), Replica: "node1", Key: testKey, AnchorFile: filepath.Join(root, "anchor")}
}

func killedChild(t *testing.T, root string, round int) map[string]bool {
	t.Helper()
	child := childOf(t, root, round)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]bool{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "ack "); ok {
			acknowledged[id] = true
		}
		if len(acknowledged) == 400+round*150 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	if len(acknowledged) < 400 {
		t.Fatalf("the child acknowledged only %d", len(acknowledged))
	}
	return acknowledged
}

func childOf(t *testing.T, root string, round int) *exec.Cmd {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillLosesNothingAcknowledged$")
	child.Env = append(os.Environ(), crashEnv+"="+root, fmt.Sprintf("KDGATE_AUDIT_TEST_ROUND=%d", round))
	return child
}

// appendUntilKilled says each record on its standard output once it is acknowledged.
func appendUntilKilled(t *testing.T, root string) {
	l := open(t, crashConfig(root))
	var mu sync.Mutex
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 100_000 {
				id := fmt.Sprintf("%s-%d-%d", os.Getenv("KDGATE_AUDIT_TEST_ROUND"), worker, i)
				if err := l.Append(t.Context(), Event{Action: ActionMint, Outcome: OK, RequestID: id}); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				fmt.Println("ack", id)
				mu.Unlock()
			}
		})
	}
	group.Wait()
}
