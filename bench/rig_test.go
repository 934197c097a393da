package bench

import (
	"errors"
	"testing"
	"time"
)

// TestRig proves that what the benchmarks count as clicks are clicks: the floor
// and the gateway let a good code through and refuse a used one, and the
// vendors' delay is really waited for.
func TestRig(t *testing.T) {
	r := newRig(t, "floor", "redis", "sqlite cold")
	const delay = 30 * time.Millisecond
	r.vendors.delay.Store(int64(delay))
	for _, test := range []struct {
		part  string
		kind  kind
		calls time.Duration // to vendors, one after the other
	}{
		{"floor", floor1, 1},
		{"floor", floor2, 1},
		{"floor", floor4, 1},
		{"redis", first, 1},
		{"redis", exchange, 1},
		{"redis", again, 0},
		{"sqlite cold", first, 2},
	} {
		t.Run(test.part+"/"+test.kind.name, func(t *testing.T) {
			visitors := r.visitors(t, test.part, 2)
			click := test.kind.prepare(t, r, visitors, 4)
			each, all, err := crowd(visitors, 4, click)
			if err != nil {
				t.Fatal(err)
			}
			if each[0] < test.calls*delay || all < each[3] {
				t.Errorf("%v in %v, but vendors wait %v", each, all, test.calls*delay)
			}
		})
	}
	for _, part := range []string{"redis", "sqlite cold"} {
		code := r.vendors.code(t, 0)
		if _, err := clickOnce(r.parts[part].addr, code); err != nil {
			t.Fatal(err)
		}
		_, err := clickOnce(r.parts[part].addr, code)
		if e, ok := errors.AsType[*refused](err); !ok || e.code != "KD-102" {
			t.Errorf("%s: a used code was answered with %v", part, err)
		}
	}
	if _, err := r.visitors(t, "floor", 1)[0].redirected("/click?code=nobodys"); err == nil {
		t.Error("the floor lets a stranger through")
	}
}

// TestMedian proves the figures of the table.
func TestMedian(t *testing.T) {
	all := results{"a": {{rate: 3, p50: 9, cpu: 1}, {rate: 1, p50: 7, cpu: 2}, {rate: 2, p50: 8, cpu: 3}}}
	if got := all.median("a"); got.rate != 2 || got.p50 != 8 || got.cpu != 2 {
		t.Errorf("median %+v", got)
	}
	if got := all.median("nobody"); got != (result{}) {
		t.Errorf("a line that was not measured gave %+v", got)
	}
	sorted := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	if at(sorted, 0.5) != 6 || at(sorted, 0.99) != 10 || at(sorted, 1) != 10 || at(nil, 0.5) != 0 {
		t.Error("shares of sorted times")
	}
}
