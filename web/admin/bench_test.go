package admin_test

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/mapping"
)

var benchRows = flag.Int("rows", mapping.MaxCSVRows, "rows of the file that BenchmarkConsole imports")

// BenchmarkConsole measures the console by its own HTTP handlers, as people use
// it: a file of 100,000 rows from the upload to the last row written (F22: 30 s),
// then searches through them (200 ms) and the first byte of every page (100 ms).
func BenchmarkConsole(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		h := newHouse(b)
		author, other := h.enter("manager01"), h.enter("manager02")
		var file strings.Builder
		file.WriteString("corp,userid,data_centre,staff_number,login_user,note\n")
		for i := range *benchRows {
			fmt.Fprintf(&file, "%s,u%06d,%s,S%06d,员工%06d,批次%d\n", corp, i, live, i, i, i%97)
		}
		b.StartTimer()
		took := author.bringIn(file.String(), other)
		b.ReportMetric(took.Seconds(), "s/import")
		for _, search := range []struct{ name, query string }{
			{"one", "text=%E5%91%98%E5%B7%A5099999"},
			{"many", "text=099"},
			{"none", "text=nobody"},
			{"note", "text=%E6%89%B9%E6%AC%A196"},
			{"ordered", "text=S0&order=login_user"},
			{"status", "status=active"},
		} {
			b.ReportMetric(author.slowest("/admin/mapping?"+search.query), "ms/search-"+search.name)
		}
		worst, where := 0.0, ""
		for _, route := range h.console.Routes() {
			method, path, _ := strings.Cut(strings.TrimSuffix(route.Pattern, "{$}"), " ")
			if method != http.MethodGet || strings.Contains(path, "{") || strings.Contains(path, "export") || strings.Contains(path, "/api/") {
				continue
			}
			if took := author.slowest(path); took > worst {
				worst, where = took, path
			}
		}
		b.Logf("the slowest page is %s", where)
		b.ReportMetric(worst, "ms/slowest-page")
	}
}

// bringIn uploads a file, has another administrator agree (T100), and gives the
// time until its last row was written, without the time that people think.
func (b *browser) bringIn(file string, other *browser) time.Duration {
	b.Helper()
	began := time.Now()
	path := b.propose(file)
	page := b.still(path)
	seen := digest.FindStringSubmatch(page)
	if seen == nil {
		b.Fatalf("no button in\n%.2000s", page)
	}
	if a := b.post(path+"/apply", "digest", seen[1]); a.StatusCode != http.StatusSeeOther {
		b.Fatalf("apply: %d", a.StatusCode)
	}
	if a := other.post(path+"/approve", "digest", seen[1]); a.StatusCode != http.StatusSeeOther {
		b.Fatalf("approve: %d", a.StatusCode)
	}
	if page := b.still(path); !strings.Contains(page, `id="done"`) {
		b.Fatalf("after it:\n%.2000s", answer{body: page}.main())
	}
	return time.Since(began)
}

// still waits until a bulk change moves no more, looking as often as its page does.
func (b *browser) still(path string) string {
	b.Helper()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		a := b.get(path)
		if a.StatusCode != http.StatusOK {
			b.Fatalf("%s: %d", path, a.StatusCode)
		}
		if !strings.Contains(a.body, "<progress") {
			return a.body
		}
		<-look.C
	}
}

// slowest is the longest that a page took of five, in milliseconds, answered whole.
func (b *browser) slowest(path string) float64 {
	b.Helper()
	var took []time.Duration
	for range 5 {
		began := time.Now()
		if a := b.get(path); a.StatusCode >= http.StatusInternalServerError { // some pages lead elsewhere, or lack what they are to show
			b.Fatalf("%s: %d\n%.500s", path, a.StatusCode, a.body)
		}
		took = append(took, time.Since(began))
	}
	return float64(slices.Max(took).Microseconds()) / 1000
}
