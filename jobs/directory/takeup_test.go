package directory

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"kdgate/store"
	"kdgate/store/sqlitestore"
)

// TestTakeUpBesideAGap proves R46 for readers that died side by side: a page whose
// number is missing is read again under a new number, and takes nobody's place.
func TestTakeUpBesideAGap(t *testing.T) {
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(t.TempDir(), "kdgate.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{bytes.Repeat([]byte("k"), store.MinSealKey)}})
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{Keeper: &Keeper{cfg: Config{Corp: "c", Store: sealed}}, run: &Run{ID: "1"}, known: newRoll()}
	for n, p := range map[int]page{0: {Department: 10, Next: 100, Seen: []string{"a"}}, 2: {Department: 20, Last: true, Seen: []string{"b"}}} {
		op, err := put(w.pageKey(n), p, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := sealed.Commit(t.Context(), op); err != nil {
			t.Fatal(err)
		}
	}
	done, err := w.takeUp(t.Context())
	if err != nil || len(done) != 2 || done[10].Next != 100 || !done[20].Last || !w.news["a"] || !w.news["b"] {
		t.Fatalf("%+v, %v, %v", done, w.news, err)
	}
	entries, err := sealed.Scan(t.Context(), pagePrefix, "", store.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(entries, func(e store.Entry) bool { return e.Key == w.pageKey(w.next) }) {
		t.Errorf("the next page would be written over %s", w.pageKey(w.next))
	}
}
