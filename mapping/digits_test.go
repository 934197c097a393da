package mapping

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What alike finds joins alike, and it finds something wherever any pair of
// login users does, tried one against the other (T33).
func TestAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logins := rapid.SliceOfNDistinct(rapid.StringMatching(`[ 012a用]{1,4}`), 2, 12, rapid.ID[string]).Draw(t, "logins")
		joins := func(login string) (all []string) {
			for _, permit := range permitForms {
				all = append(all, joinSorted(login, permit))
			}
			return all
		}
		some := false
		for i, a := range logins {
			for _, b := range logins[:i] {
				some = some || slices.ContainsFunc(joins(a), func(joined string) bool { return slices.Contains(joins(b), joined) })
			}
		}
		found := alike("live", logins)
		if (len(found) > 0) != some {
			t.Fatalf("%q: %+v, want any: %v", logins, found, some)
		}
		for _, f := range found {
			if f.First == f.Second || !slices.Contains(joins(f.First), f.Joined) || !slices.Contains(joins(f.Second), f.Joined) {
				t.Errorf("%+v does not join alike", f)
			}
		}
	})
}
