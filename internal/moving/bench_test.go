package moving_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"kdgate/internal/moving"
	"kdgate/store"
	"kdgate/store/archive"
)

// rows is how many rows R15 and R64 speak of; a row has four entries.
const rows = 100_000

// filled is a store with the entries of so many rows, in size and number.
func filled(b *testing.B, s *store.Sealed) *store.Sealed {
	b.Helper()
	value := bytes.Repeat([]byte("x"), 350) // a row with its last check
	var ops []store.Op
	for i := range rows {
		ops = append(ops, store.Create(fmt.Sprintf("mapping/id/live/corp/u%07d", i), value))
		for _, index := range []string{"userid", "account", "staff"} {
			ops = append(ops, store.Create(fmt.Sprintf("mapping/%s/live/u%07d", index, i), value[:70]))
		}
		if len(ops) == store.MaxOps {
			must(b, s.Commit(b.Context(), ops...))
			ops = ops[:0]
		}
	}
	return s
}

// BenchmarkSave is a backup of 100,000 rows; R64 allows 60 s.
func BenchmarkSave(b *testing.B) {
	for name, open := range engines() {
		b.Run(name, func(b *testing.B) {
			s := filled(b, open(b))
			for b.Loop() {
				w, err := archive.NewWriter(io.Discard, key, archive.Header{})
				must(b, err)
				must(b, moving.Save(b.Context(), s, w, leave, nil))
				_, err = w.Close()
				must(b, err)
			}
		})
	}
}

// BenchmarkRestore puts them back; R15 allows 60 s.
func BenchmarkRestore(b *testing.B) {
	for name, open := range engines() {
		b.Run(name, func(b *testing.B) {
			var out bytes.Buffer
			w, err := archive.NewWriter(&out, key, archive.Header{At: time.Now()})
			must(b, err)
			must(b, moving.Save(b.Context(), filled(b, embedded(b)), w, leave, nil))
			_, err = w.Close()
			must(b, err)
			for b.Loop() {
				g := newGate(b, open(b))
				_, err := g.restore(b.Context(), out.Bytes(), false)
				must(b, err)
			}
		})
	}
}

func engines() map[string]func(testing.TB) *store.Sealed {
	return map[string]func(testing.TB) *store.Sealed{"sqlite": embedded, "redis": onRedis}
}
