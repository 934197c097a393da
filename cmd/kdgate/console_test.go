package main

import (
	"os"
	"strings"
	"testing"
)

// TestConsoleReset proves T106: a new one-time secret, written where only its
// owner reads, through the running gateway and without one, and on record.
func TestConsoleReset(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	secret := h.path("data/console-secret")
	first, err := os.ReadFile(secret)
	must(t, err)
	said := h.run("console", "reset").want(t, 0, secret)
	second, err := os.ReadFile(secret)
	must(t, err)
	g.stop()
	h.run("console", "reset", "--json").want(t, 0, `"file"`)
	third, err := os.ReadFile(secret)
	must(t, err)
	if string(first) == string(second) || string(second) == string(third) || strings.Contains(said.stdout, strings.TrimSpace(string(second))) {
		t.Errorf("the secret did not change, or was printed: %q", said.stdout)
	}
	info, err := os.Stat(secret)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	h.run("audit", "export", "--action", "secret.change").want(t, 0, `"actor":"cli:`, "breakglass")
}
