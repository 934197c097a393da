package storetest

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"kdgate/store"
)

// benchValue is as long as a session record.
const benchValue = 300

// BenchmarkGet reads sealed entries of driver, by one caller and by many.
func BenchmarkGet(b *testing.B, driver store.Driver) {
	const keys = 1000
	s := sealed(b, driver)
	value := bytes.Repeat([]byte("v"), benchValue)
	for i := range keys {
		if err := s.Commit(b.Context(), store.Put(fmt.Sprint("bench/", i), value)); err != nil {
			b.Fatal(err)
		}
	}
	measure(b, func(n int64) error {
		_, err := s.Get(b.Context(), fmt.Sprint("bench/", n%keys))
		return err
	})
}

// BenchmarkCommit creates sealed entries with a lifetime in driver, by one caller and by many.
func BenchmarkCommit(b *testing.B, driver store.Driver) {
	s := sealed(b, driver)
	value := bytes.Repeat([]byte("v"), benchValue)
	measure(b, func(n int64) error {
		return s.Commit(b.Context(), store.Create(fmt.Sprint("bench/", n), value).For(time.Hour))
	})
}

// measure runs do with growing numbers, alone and 64 at a time per processor.
func measure(b *testing.B, do func(n int64) error) {
	var n atomic.Int64
	for _, c := range []struct {
		name    string
		callers int
	}{{"alone", 0}, {"parallel", 64}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			if c.callers == 0 {
				for b.Loop() {
					if err := do(n.Add(1)); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.SetParallelism(c.callers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := do(n.Add(1)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func sealed(b *testing.B, driver store.Driver) *store.Sealed {
	b.Helper()
	s, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{sealingKey()}})
	if err != nil {
		b.Fatal(err)
	}
	return s
}
