package main

import (
	"errors"
	"flag"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// filing is everything by which a file changes: strace counts each for itself.
func filing() []string {
	return []string{"write", "pwrite64", "fsync", "ftruncate", "rename", "renameat", "linkat", "unlink", "unlinkat", "mkdirat"}
}

// everyWrite: with -long a command dies at every write of SQLite's too, not at
// every fifth.
var everyWrite = flag.Bool("long", false, "die at every single write")

// TestKilledAtEveryWrite proves R32: a command is killed by SIGKILL at its nth
// write, fsync, rename or link, for every n until there is none. The run after it
// needs nobody's help: what was there is there, the change is made once, and the
// log verifies. A first run makes keys, database, log, anchor and what the host
// remembers.
func TestKilledAtEveryWrite(t *testing.T) {
	for name, tc := range map[string]struct {
		args  []string
		fresh bool // on a host where nothing ran yet
		after func(t *testing.T, h *house)
	}{
		"first run": {[]string{"mapping", "list"}, true, func(t *testing.T, h *house) {
			h.run("mapping", "import", h.path("rows.csv")).want(t, 0)
		}},
		"a change": {[]string{"mapping", "suspend", "zhangsan"}, false, func(t *testing.T, h *house) {
			h.run("mapping", "suspend", "zhangsan").want(t, 0)
			h.run("mapping", "get", "zhangsan").want(t, 1, "KD-206")
		}},
		"a backup": {[]string{"backup", "BACKUP"}, false, func(t *testing.T, h *house) {
			h.run("backup", h.path("b")).want(t, 0) // over a whole one or none: over anything else it refuses
			must(t, os.Remove(h.path("b")))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.put("rows.csv", threeRows)
			if !tc.fresh {
				h.run("mapping", "import", h.path("rows.csv")).want(t, 0)
			}
			kept := filepath.Join(t.TempDir(), "kept")
			if !tc.fresh {
				must(t, exec.Command("cp", "-a", h.path("data"), kept).Run())
			}
			killed := 0
			before := func() {
				for _, name := range []string{"data", "anchor.jsonl"} {
					must(t, os.RemoveAll(h.path(name)))
				}
				if !tc.fresh {
					must(t, exec.Command("cp", "-a", kept, h.path("data")).Run())
				}
			}
			for call, n := range h.kills(before, tc.args...) {
				killed++
				tc.after(t, h)
				if got := strings.Count(h.run("mapping", "list", "--json").want(t, 0).stdout, `"userid"`); got != 3 {
					t.Errorf("%d rows", got)
				}
				h.run("audit", "verify").want(t, 0, "No fault found")
				if t.Failed() {
					t.Fatalf("killed at %s %d", call, n)
				}
			}
			if t.Logf("%d kills", killed); killed < 20 {
				t.Errorf("only %d kills", killed)
			}
		})
	}
}

// kills runs a command again and again on what before leaves, each time killed at
// the nth of one kind of change of a file.
func (h *house) kills(before func(), args ...string) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for _, call := range filing() {
			step := 1
			if call == "pwrite64" && !*everyWrite {
				step = 3
			}
			for n := 1; ; n += step {
				before()
				if !h.killedAt(call, n, args...) {
					break
				}
				if !yield(call, n) {
					return
				}
			}
		}
	}
}

// killedAt runs a command that is killed at its nth change of a file by one call;
// false when it lived to its end.
func (h *house) killedAt(call string, n int, args ...string) bool {
	h.t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		h.t.Skip("strace is missing: apt-get install strace")
	}
	all := []string{"-f", "-qqq", "-o", "/dev/null", "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), binary}
	for _, arg := range args {
		all = append(all, strings.ReplaceAll(arg, "BACKUP", h.path("b")))
	}
	cmd := exec.CommandContext(h.t.Context(), strace, append(all, "--config", h.path("kdgate.yaml"))...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=1"}
	said, err := cmd.CombinedOutput()
	switch {
	case err == nil || byKill(err):
	case strings.Contains(string(said), "strace:"):
		h.t.Skipf("strace may not trace here: %v\n%s", err, said)
	default:
		h.t.Fatalf("%v\n%s", err, said)
	}
	return err != nil
}

// byKill reports whether strace passed a kill on, as a signal or as an exit code.
func byKill(err error) bool {
	ended, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := ended.Sys().(syscall.WaitStatus)
	return ok && (status.Signaled() && status.Signal() == syscall.SIGKILL || status.ExitStatus() == 128+int(syscall.SIGKILL))
}
