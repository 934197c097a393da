package audit

import (
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	l := open(b, setup(b))
	for i := 0; b.Loop(); i++ {
		if err := l.Append(b.Context(), signIn(i)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendParallel(b *testing.B) { // at least 10,000 a second
	l := open(b, setup(b))
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if err := l.Append(b.Context(), signIn(i)); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkVerify(b *testing.B) { // at least 300,000 rows a second
	c := setup(b)
	l := open(b, c)
	appendMany(b, l, 60_000)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for name, indexes := range map[string]IndexCheck{"chain": IndexesNever, "chain and indexes": IndexesAlways} {
		b.Run(name, func(b *testing.B) {
			v := verifyConfig(c)
			v.Indexes = indexes
			b.ReportAllocs()
			for b.Loop() {
				mustVerify(b, v)
			}
			b.ReportMetric(60_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
