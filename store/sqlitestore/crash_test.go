package sqlitestore

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kdgate/store"
)

// writerFile makes the test binary a writer that is to be killed.
const writerFile = "KDGATE_TEST_WRITER_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerFile); path != "" {
		if err := writeUntilKilled(context.Background(), path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writeUntilKilled commits pairs of keys from several goroutines, so that commits
// are grouped, and prints each that was acknowledged.
func writeUntilKilled(ctx context.Context, path string) error {
	d, err := Open(ctx, Config{Path: path})
	if err != nil {
		return err
	}
	s, err := sealTest(d)
	if err != nil {
		return err
	}
	var print sync.Mutex
	failed := make(chan error)
	for worker := range 8 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d/%d/%d", os.Getpid(), worker, i)
				if err := s.Commit(ctx, store.Create("a/"+key, []byte(key)), store.Create("b/"+key, []byte(key))); err != nil {
					failed <- err
					return
				}
				print.Lock()
				fmt.Println(key)
				print.Unlock()
			}
		}()
	}
	return <-failed
}

func sealTest(d *Driver) (*store.Sealed, error) {
	return store.Seal(d, store.SealConfig{Keys: [][]byte{[]byte(strings.Repeat("k", store.MinSealKey))}})
}

// TestKill: nothing acknowledged is lost and no commit is halved by kill -9 (R30, R32).
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kdgate.db")
	var acknowledged []string
	for round := range 8 {
		acknowledged = append(acknowledged, killWriter(t, path, 20+37*round)...)
		d, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		s, err := sealTest(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range acknowledged {
			for _, half := range []string{"a/", "b/"} {
				if entry, err := s.Get(t.Context(), half+key); err != nil || string(entry.Value) != key {
					t.Fatalf("round %d: %s%s: %v", round, half, key, err)
				}
			}
		}
		if a, b := count(t, s, "a/"), count(t, s, "b/"); a != b || a < len(acknowledged) {
			t.Errorf("round %d: %d and %d halves, %d acknowledged", round, a, b, len(acknowledged))
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter runs a writer until it has acknowledged at least so many commits,
// kills it, and gives all it acknowledged.
func killWriter(t *testing.T, path string, least int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), writerFile+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadString('\n')
		if err != nil { // killed; a line without end was not said
			break
		}
		if keys = append(keys, strings.TrimSpace(line)); len(keys) == least {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(keys) < least {
		t.Fatalf("the writer ended by itself after %d commits: %v", len(keys), err)
	}
	return keys
}

func count(t *testing.T, s store.Store, prefix string) int {
	t.Helper()
	total, after := 0, ""
	for {
		page, err := s.Scan(t.Context(), prefix, after, store.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return total
		}
		total += len(page)
		after = page[len(page)-1].Key
	}
}
