package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/store"
)

var key = bytes.Repeat([]byte{7}, 32)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sample is an archive with every type of frame in it.
func sample(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, key, Header{Tenant: "main", Program: "test", At: time.Unix(1000, 0).UTC(), LeftOut: []string{"session/"}})
	must(t, err)
	must(t, w.Put(store.Entry{Key: "a", Version: 1, Value: []byte("one")}))
	must(t, w.Put(store.Entry{Key: "b", Version: 2, Value: []byte{}, ExpiresAt: time.UnixMicro(99)}))
	must(t, w.Put(store.Entry{Key: "a", Version: 1, Value: []byte("one")})) // unchanged: not written again
	must(t, w.Put(store.Entry{Key: "a", Version: 3, Value: []byte("two")}))
	must(t, w.Remove("b"))
	must(t, w.Remove("never"))
	must(t, w.File("audit.db", strings.NewReader("records")))
	counts, err := w.Close()
	must(t, err)
	if want := (Counts{Entries: 2, Changes: 1, Removals: 1, Files: 1, Bytes: 7}); counts != want {
		t.Fatalf("counts %+v, want %+v", counts, want)
	}
	return out.Bytes()
}

func TestRoundTrip(t *testing.T) {
	var said []string
	file := &bytes.Buffer{}
	show := func(kind string) func(store.Entry) error {
		return func(e store.Entry) error {
			said = append(said, fmt.Sprintf("%s %s %d %q %t", kind, e.Key, e.Version, e.Value, e.ExpiresAt.IsZero()))
			return nil
		}
	}
	header, counts, err := Read(bytes.NewReader(sample(t)), key, Visitor{
		Entry: show("entry"), Change: show("change"),
		Remove: func(key string) error { said = append(said, "remove "+key); return nil },
		File:   func(name string) (io.Writer, error) { said = append(said, "file "+name); return file, nil },
	})
	must(t, err)
	want := []string{`entry a 1 "one" true`, `entry b 2 "" false`, `change a 3 "two" true`, "remove b", "file audit.db"}
	if !slices.Equal(said, want) || file.String() != "records" {
		t.Errorf("read %q, file %q", said, file)
	}
	if header.Tenant != "main" || header.At.Unix() != 1000 || header.Format != Format || counts.Entries != 2 {
		t.Errorf("header %+v, counts %+v", header, counts)
	}
}

// TestEveryChangeIsFound proves what a restore relies on (R64): cut short
// anywhere, one bit flipped anywhere, continued, with frames in another order,
// or made under another key, an archive does not verify.
func TestEveryChangeIsFound(t *testing.T) {
	whole := sample(t)
	refused := func(what string, text []byte, with []byte) {
		t.Helper()
		if _, _, err := Verify(bytes.NewReader(text), with); err == nil {
			t.Errorf("%s: it verifies", what)
		}
	}
	for n := range whole {
		refused(fmt.Sprintf("cut after %d bytes", n), whole[:n], key)
		for bit := range 8 {
			flipped := slices.Clone(whole)
			flipped[n] ^= 1 << bit
			refused(fmt.Sprintf("bit %d of byte %d flipped", bit, n), flipped, key)
		}
	}
	refused("one byte more", append(slices.Clone(whole), 0), key)
	refused("twice", append(slices.Clone(whole), whole...), key)
	entry := bytes.Index(whole, []byte{frameEntry, 0, 0, 0, entryFixed + 1 + 3})
	next := entry + headSize + entryFixed + 1 + 3
	size := headSize + entryFixed + 1
	moved := slices.Concat(whole[:entry], whole[next:next+size], whole[entry:next], whole[next+size:])
	refused("two entries swapped", moved, key)
	refused("an entry taken out", slices.Delete(slices.Clone(whole), entry, next), key)

	other := bytes.Repeat([]byte{8}, 32)
	if _, _, err := Verify(bytes.NewReader(whole), other); !errors.Is(err, ErrOtherKey) {
		t.Errorf("under another key: %v", err)
	}
	newer := bytes.Replace(whole, []byte(magic), []byte("kdgate archive 2\n"), 1)
	if _, _, err := Verify(bytes.NewReader(newer), key); !errors.Is(err, ErrNewer) {
		t.Errorf("of a newer format: %v", err)
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gate.backup")
	whole := sample(t)
	fill := func(w io.Writer) error { _, err := w.Write(whole); return err }
	verify := func(r io.Reader) error { _, _, err := Verify(r, key); return err }
	must(t, Save(path, fill, verify))
	must(t, Save(path, fill, verify)) // an older backup may be replaced
	info, err := os.Stat(path)
	must(t, err)
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v: mappings are nobody else's business", info.Mode())
	}

	short := func(w io.Writer) error { _, err := w.Write(whole[:40]); return err }
	if err := Save(path, short, verify); !errors.Is(err, ErrDamaged) {
		t.Errorf("half a backup: %v", err)
	}
	broken := errors.New("the gateway went away")
	if err := Save(path, func(io.Writer) error { return broken }, verify); !errors.Is(err, broken) {
		t.Errorf("a failed backup: %v", err)
	}
	text, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(text, whole) {
		t.Error("a failed backup took the good one away")
	}
	config := filepath.Join(dir, "kdgate.yaml")
	must(t, os.WriteFile(config, []byte("public_url: x"), 0o600))
	if err := Save(config, fill, verify); err == nil {
		t.Error("a file that is no backup was replaced")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	must(t, err)
	if len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func FuzzRead(f *testing.F) {
	whole := sample(f)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte(magic + "H\x00\x00\x00\x02{}"))
	f.Add([]byte(magic + "H\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		entries := 0
		_, _, err := Read(bytes.NewReader(text), key, Visitor{Entry: func(e store.Entry) error {
			entries++
			if e.Key == "" || len(e.Key) > store.MaxKey || e.Version == 0 {
				t.Errorf("entry %+v", e)
			}
			return nil
		}})
		if err == nil && !bytes.Equal(text, whole) {
			t.Errorf("%d bytes that nobody sealed verify", len(text))
		}
	})
}
