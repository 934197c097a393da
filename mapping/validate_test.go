package mapping

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestIDsAreDistinctOrRefused proves T15 for the list of the threat model: each
// is either refused at creation, or folds to the same skeleton (so a second one
// is refused), or is a different id in every sense.
func TestIDsAreDistinctOrRefused(t *testing.T) {
	for _, c := range []struct {
		id     string
		reason Reason // empty: good by itself
		folds  bool   // into zhang1
	}{
		{"zhang1", "", true},
		{"Zhang1", "", true},
		{"zhang1 ", ReasonSpaceAtEdge, false},
		{"\u3000zhang1", ReasonSpaceAtEdge, false},
		{"zhang1\u200b", ReasonInvisible, false},
		{"zha\u200dng1", ReasonInvisible, false},
		{"\ufeffzhang1", ReasonInvisible, false},
		{"zhang\u202e1", ReasonInvisible, false},
		{"zhang\u00ad1", ReasonInvisible, false},
		{"zhang\u00a01", ReasonInvisible, false},
		{"zhang\u31641", ReasonInvisible, false},
		{"zhang1\ufe0f", ReasonInvisible, false},
		{"zhang\u28001", ReasonInvisible, false},
		{"ｚhang1", "", true},
		{"zhang①", "", true},
		{"zh\u0430ng1", ReasonMixedScripts, false}, // Cyrillic а
		{"张\u0430", ReasonMixedScripts, false},
		{"αа", ReasonMixedScripts, false},
		{"zhang\n1", ReasonControl, false},
		{"zhang\x001", ReasonControl, false},
		{"zhang\u0085x1", ReasonControl, false},
		{"zhang\u2028x", ReasonControl, false},
		{"zhang\ue0001", ReasonControl, false},
		{"zhang\U000e01f01", ReasonInvisible, false},
		{"\u0301zhang", ReasonControl, false},
		{"zhang\xff", ReasonNotText, false},
		{"", ReasonEmpty, false},
		{strings.Repeat("张", 65), ReasonTooLong, false},
		{strings.Repeat("张", 64), "", false},
		{strings.Repeat("ﷺ", 30), ReasonTooLong, false}, // unfolds to 18 characters each
		{"张三（财务部） 01", "", false},
		{"ß", "", false},
		{"ss", "", false},
		{"İ", "", false},
		{"i", "", false},
		{"O'Brien & Söhne/2%", "", false},
		{"山田タロウ", "", false},
		{"Иванов", "", false},
	} {
		err := CheckLoginUser(c.id)
		reason := Reason("")
		if r := RefusalOf(err); r != nil {
			reason = r.Reason
		}
		if reason != c.reason || (err == nil) != (c.reason == "") {
			t.Errorf("%q: %v, want %q", c.id, err, c.reason)
		}
		if err == nil && (skeleton(c.id) == "zhang1") != c.folds {
			t.Errorf("%q folds to %q", c.id, skeleton(c.id))
		}
	}
}

// TestNotesStandAsTheyWereWritten proves T102: a note takes any letters of any
// script, and nothing that turns or breaks the line.
func TestNotesStandAsTheyWereWritten(t *testing.T) {
	for note, want := range map[string]Reason{
		"": "", "请假至 2026-03-01 👩‍👩‍👧‍👦": "", "<img src=x onerror=alert(1)>": "", "مرحبا": "", "a\u200bb": "",
		"gpj\u202eexe": ReasonInvisible, "\u2067x": ReasonInvisible, "x\u2069": ReasonInvisible, "\u200e": ReasonInvisible, "\u200f": ReasonInvisible, "\u061c": ReasonInvisible,
		"a\nb": ReasonControl, "a\u2028b": ReasonControl, "\xff": ReasonNotText, strings.Repeat("张", 501): ReasonTooLong, strings.Repeat("张", 500): "",
	} {
		err := checkNote(note)
		if refusal := RefusalOf(err); (err == nil) != (want == "") || refusal != nil && refusal.Reason != want {
			t.Errorf("%q: %v, want %q", note, err, want)
		}
	}
}

// TestSkeletonsOfTheFoldingPairs proves T16: each pair meets under one index key.
func TestSkeletonsOfTheFoldingPairs(t *testing.T) {
	for _, pair := range [][2]string{
		{"ß", "ss"}, {"K1", "\u212a1"}, {"e\u0301", "\u00e9"}, {"ﬁ", "FI"}, {"ＡＢＣ", "abc"}, {"（", "("}, {"a\u3000b", "a b"}, {"Σ", "ς"},
	} {
		if a, b := skeleton(pair[0]), skeleton(pair[1]); a != b {
			t.Errorf("%q → %q, %q → %q", pair[0], a, pair[1], b)
		}
	}
	if skeleton("İ") == skeleton("i") || skeleton("张") == skeleton("張") {
		t.Error("different people were folded together")
	}
}

func TestStaffNumberCharset(t *testing.T) {
	for s, good := range map[string]bool{
		"1001": true, "A-1_b": true, strings.Repeat("9", 64): true,
		"": false, strings.Repeat("9", 65): false, "x' or '1'='1": false, "工号1": false, "1 1": false, "１": false, "1\n": false, "a.b": false,
	} {
		if (CheckStaffNumber(s) == nil) != good {
			t.Errorf("%q: good is %v", s, !good)
		}
	}
}

// TestKeysAreOneToOne proves T24: different tuples never share a key, whatever
// bytes they are made of.
func TestKeysAreOneToOne(t *testing.T) {
	segment := rapid.OneOf(rapid.StringOf(rapid.SampledFrom([]rune("ab/%{}2F张"))), rapid.String())
	rapid.Check(t, func(rt *rapid.T) {
		a := []string{segment.Draw(rt, "a0"), segment.Draw(rt, "a1"), segment.Draw(rt, "a2")}
		b := []string{segment.Draw(rt, "b0"), segment.Draw(rt, "b1"), segment.Draw(rt, "b2")}
		same := a[0] == b[0] && a[1] == b[1] && a[2] == b[2]
		if (join("x/", a...) == join("x/", b...)) != same {
			rt.Fatalf("%q and %q: keys %q and %q", a, b, join("x/", a...), join("x/", b...))
		}
	})
	if a, b := join("", "a", "bc"), join("", "ab", "c"); a == b {
		t.Errorf("a+bc and ab+c share %q", a)
	}
}

// FuzzCheckName: what is passed has a skeleton that is a fixed point and a key
// that the store takes.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"zhang1", "ｚ", "张三（1） 2", "a\u200b", "\u212a", "ﷺ", "İ", "ǅ", "ͅ", "\u1e9e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if CheckUserID(s) != nil {
			return
		}
		if !utf8.ValidString(s) || strings.TrimSpace(s) != s || utf8.RuneCountInString(s) > maxID {
			t.Fatalf("%q passed", s)
		}
		bone := skeleton(s)
		if skeleton(bone) != bone {
			t.Errorf("%q: skeleton %q is no fixed point, %q", s, bone, skeleton(bone))
		}
		k := Key{DataCentre: strings.Repeat("d", 64), Corp: strings.Repeat("c", 64), UserID: s}
		for _, key := range []string{rowKey(k), oldKey(k, 1), userIDKey(k), accountKey(k.DataCentre, s)} {
			if len(key) > 512 {
				t.Errorf("%q: key of %d bytes", s, len(key))
			}
		}
	})
}
