package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTake: a lock has one owner, who gives it on by releasing it; who waits and
// leaves, and a folder that is not there, are not another owner.
func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "the.lock")
	first, err := Take(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := Take(t.Context(), path); !errors.Is(err, ErrHeld) {
		t.Errorf("a second owner: %v", err)
	}
	left, leave := context.WithCancel(t.Context())
	leave()
	if _, err := Take(left, path); !errors.Is(err, context.Canceled) || errors.Is(err, ErrHeld) {
		t.Errorf("somebody who has left: %v", err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := Take(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
	if _, err := Take(t.Context(), filepath.Join(path, "none", "the.lock")); err == nil || errors.Is(err, ErrHeld) {
		t.Errorf("no such folder: %v", err)
	}
}

// TestTakeWaits: an owner that ends within the patience is waited for.
func TestTakeWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "the.lock")
	first, err := Take(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	released := make(chan error, 1)
	defer time.AfterFunc(4*retry, func() { released <- first.Release() }).Stop()
	if _, err := Take(t.Context(), path); err != nil {
		t.Error(err)
	}
	if err := <-released; err != nil {
		t.Error(err)
	}
}
