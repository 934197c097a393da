package wholefile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"kdgate/internal/wholefile"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestReplace proves R32 in small: what is read at any moment is one of the whole
// contents, it is private, and nothing else is left in the folder.
func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	contents := [][]byte{bytes.Repeat([]byte("a"), 1<<16), bytes.Repeat([]byte("b"), 3)}
	must(t, wholefile.Replace(path, contents[0]))
	var group sync.WaitGroup
	var over atomic.Bool
	group.Go(func() {
		defer over.Store(true)
		for i := range 200 {
			if err := wholefile.Replace(path, contents[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	for !over.Load() {
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
			t.Fatalf("%d bytes: %v", len(got), err)
		}
	}
	group.Wait()
	alone(t, path)
}

func alone(t *testing.T, path string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Dir(path))
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if len(list) != 1 || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", list, info.Mode())
	}
}

// TestCreate: of many at once one succeeds, its content is whole, and the others
// are told.
func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var made atomic.Int64
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			switch err := wholefile.Create(path, bytes.Repeat([]byte{byte('a' + i)}, 1000)); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	group.Wait()
	got, err := os.ReadFile(path)
	if err != nil || made.Load() != 1 || len(got) != 1000 || len(bytes.Trim(got, string(got[:1]))) != 0 {
		t.Errorf("%d made, %d bytes: %v", made.Load(), len(got), err)
	}
	alone(t, path)
	if err := wholefile.Replace(filepath.Join(path, "none", "f"), nil); err == nil {
		t.Error("into no folder")
	}
}
