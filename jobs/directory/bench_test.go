package directory_test

import (
	"flag"
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
	r, c := apart(b, people)
	b.Run("first", func(b *testing.B) { measure(b, r, c) })
	for i := 0; i < len(people); i += 20 {
		_, err := r.ding.ChangePerson(corp, people[i].UserID, func(p *dingtalksim.Person) error { p.Name += "改"; return nil })
		r.must(err)
	}
	b.Run("changed", func(b *testing.B) { measure(b, r, c) })
	b.Run("same", func(b *testing.B) { measure(b, r, c) })
}

const longText = "一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十"

// measure has a process of its own do the run, so that the simulators' memory is
// not counted; their work is, where they share the cores.
func measure(b *testing.B, r *rig, c child) {
	b.Helper()
	var done outcome
	for b.Loop() {
		done = r.whole(c)
	}
	run := done.Run
	if run.Ending != directory.Complete {
		b.Fatalf("%s %s %v", run.Ending, run.Why, run.Notes)
	}
	b.SetBytes(run.Counts.Bytes)
	b.ReportMetric(done.Took.Seconds(), "s/run")
	b.ReportMetric(float64(done.Peak)/(1<<20), "peakMiB")
	b.ReportMetric(float64(run.Counts.People), "people")
	b.ReportMetric(float64(run.Counts.Created+run.Counts.Changed), "written")
}
