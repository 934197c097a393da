package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestCrashTellsNoSecret proves T29 of a crash: the kernel writes no memory of
// the process into a file, and what Go itself says of every goroutine holds no secret.
func TestCrashTellsNoSecret(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	g.wantSignIn("1001", "zhangsan")
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", g.cmd.Process.Pid))
	must(t, err)
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 +bytes`).Match(limits) {
		t.Errorf("a core may be written:\n%s", limits)
	}
	g.signal(syscall.SIGQUIT)
	if code := g.ended(); code != 2 {
		t.Errorf("exit %d", code)
	}
	if !strings.Contains(g.log(), "goroutine ") || len(h.secrets) < 2 {
		t.Fatalf("the test looks in the wrong place: %d secrets\n%s", len(h.secrets), g.log())
	}
	for name, secret := range h.secrets {
		if strings.Contains(g.log(), secret) {
			t.Errorf("the dump tells %s", name)
		}
	}
}
