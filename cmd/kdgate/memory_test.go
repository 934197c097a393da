package main

import (
	"runtime/debug"
	"testing"
)

// The collector is set for serving and set back after it; an operator's GOGC stands.
func TestCollectLess(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	now := func() int {
		found := debug.SetGCPercent(100)
		debug.SetGCPercent(found)
		return found
	}
	restore := collectLess([]string{"HOME=/", "GOGCX=1"})
	if got := now(); got != gcPercent {
		t.Errorf("while serving: %d", got)
	}
	restore()
	if got := now(); got != 100 {
		t.Errorf("afterwards: %d", got)
	}
	restore = collectLess([]string{"GOGC=50"})
	if got := now(); got != 100 {
		t.Errorf("against the operator: %d", got)
	}
	restore()
}
