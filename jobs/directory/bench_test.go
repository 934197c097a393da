package directory_test

import (
	"flag"
	"runtime"
	"testing"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs/directory"
)

var benchPeople = flag.Int("people", 5000, "how many people the benchmark has; F56 speaks of 100,000")

// BenchmarkCompare is F56's throughput: everybody read, compared with what
// is known and one row in twenty written; the first import stands beside it.
func BenchmarkCompare(b *testing.B) {
	people := crowd(*benchPeople)
	for i := range people {
		people[i].Mobile, people[i].Email = "13900000000", people[i].UserID+"@example.com"
		people[i].Extension = `{"工号":"` + people[i].UserID + `","部门":"财务共享中心应付组","备注":"` + longText + `"}`
	}
	r := start(b, people, nil)
	b.Run("first", func(b *testing.B) { measure(b, r) })
	for i := 0; i < len(people); i += 20 {
		_, err := r.ding.ChangePerson(corp, people[i].UserID, func(p *dingtalksim.Person) error { p.Name += "改"; return nil })
		r.must(err)
	}
	b.Run("changed", func(b *testing.B) { measure(b, r) })
	b.Run("same", func(b *testing.B) { measure(b, r) })
}

const longText = "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十"

func measure(b *testing.B, r *rig) {
	b.Helper()
	var run directory.Run
	for b.Loop() {
		run = r.run(directory.Order{})
	}
	b.SetBytes(run.Counts.Bytes)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.HeapInuse)/1e6, "heapMB")
	b.ReportMetric(float64(run.Counts.People), "people")
	b.ReportMetric(float64(run.Counts.Created+run.Counts.Changed), "written")
}
