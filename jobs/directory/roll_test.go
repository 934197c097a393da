package directory

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/store"
)

// rollCases are records of every kind.
var rollCases = map[string]Known{
	"plain": {UserID: "u1", UnionID: "x1", Name: "职员", Number: "GW1", Staff: "100001", Print: "p/+", View: "v", Home: 1000},
	"bare":  {UserID: "u1"},
	"texts": {UserID: `u"1\`, Name: "a,b:c}\n\x00{\u2028", Number: "1"},
	"left":  {UserID: "u1", Number: "1", State: Left, Since: time.Date(2026, 2, 28, 23, 59, 59, 1, time.UTC)},
	"newer": {UserID: "u1", Number: "1", Unknown: jsontext.Value(`{"mood":{"home":7}}`)},
	"minus": {UserID: "u1", Home: -1},
}

// TestRoll: what is known of a person does not depend on how it was read, and
// members of a newer release stay (R54).
func TestRoll(t *testing.T) {
	for name, want := range rollCases {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		page := []store.Entry{
			{Key: "k0", Value: []byte(`{"userid":"u0","number":"0"}`), Version: 3},
			{Key: "k1", Value: text, Version: 7},
			{Key: "k2", Value: []byte(`{"userid":"u2","number":"2"}`), Version: 4},
		}
		all := newRoll()
		if err := all.add(page); err != nil || len(all.place) != 3 {
			t.Fatalf("%s: %v, %v", name, all, err)
		}
		want.Version, want.claimed = 7, want.Number
		if got := all.of(want.UserID); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if got := all.of("u2"); got.Number != "2" || got.Version != 4 {
			t.Errorf("%s: the one behind is %+v", name, got)
		}
		_, plain := plainKnown(string(text))
		if should := name == "plain" || name == "bare" || name == "minus"; plain != should {
			t.Errorf("%s: read without the decoder: %v", name, plain)
		}
	}
	if got := newRoll().of("nobody"); !reflect.DeepEqual(got, Known{}) {
		t.Errorf("nobody is %+v", got)
	}
}

// TestRollPut: what a run has written is what it goes on from.
func TestRollPut(t *testing.T) {
	all := newRoll()
	for _, known := range []Known{{UserID: "u1", Number: "1"}, {UserID: "u1", Number: "2", Version: 9}} {
		if err := all.put(known); err != nil {
			t.Fatal(err)
		}
	}
	for known := range all.all() {
		if known.Number != "2" || known.claimed != "2" || known.Version != 9 || len(all.place) != 1 {
			t.Errorf("%+v of %d", known, len(all.place))
		}
	}
}

// TestRollRefuses: a record that cannot be read fails the page, whoever it is of.
func TestRollRefuses(t *testing.T) {
	for _, text := range []string{``, `{`, `{}}`, `{"userid":"u1"`, `{"userid":"u1",}`, `{"userid":7}`, `{"userid":"u1","home":"7x"}`, `{"userid":"u1"}{`, `[]`} {
		err := newRoll().add([]store.Entry{{Key: "directory/person/x", Value: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), "directory/person/x") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzPlainKnown proves that the short reading says what the decoder does,
// wherever it says anything.
func FuzzPlainKnown(f *testing.F) {
	for _, known := range rollCases {
		if text, err := json.Marshal(known); err == nil {
			f.Add(string(text))
		}
	}
	f.Add(`{"userid":"u1","home":007}`)
	f.Add(`{"userid":"u1","home":+7}`)
	f.Add("{\"userid\":\"\xff\"}")
	f.Fuzz(func(t *testing.T, text string) {
		short, ok := plainKnown(text)
		var long Known
		if !ok || json.Unmarshal([]byte(text), &long) != nil {
			return // not one of ours: nobody else writes under the seal
		}
		if !reflect.DeepEqual(short, long) {
			t.Fatalf("%q: %+v, and %+v", text, short, long)
		}
	})
}
