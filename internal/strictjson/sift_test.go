package strictjson

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// TestSift: what drop says is taken out and everything else stays, to the byte.
func TestSift(t *testing.T) {
	for _, c := range []struct{ data, left string }{
		{`{"r":{"l":[{"d":1},{"k":2},{"d":3}]}}`, `{"r":{"l":[{"k":2}]}}`},
		{`{"r":{"l":[{"k":1},{"k":2}]}}`, `{"r":{"l":[{"k":1},{"k":2}]}}`},
		{`{"r":{"l":[{"d":1}]}}`, `{"r":{"l":[]}}`},
		{
			" {\t\"x\" : [1,{\"r\":{}}] ,\n\"y\":\"}\\\"{\",\"r\" : { \"l\" :\r[ {\"k\":\"]},{\"} , {\"d\":[{}]} ] , \"n\":0}}\n",
			" {\t\"x\" : [1,{\"r\":{}}] ,\n\"y\":\"}\\\"{\",\"r\" : { \"l\" :\r[{\"k\":\"]},{\"}] , \"n\":0}}\n",
		},
		{`{"r":{"l":[{"d":1}]},"r":{"l":[{"d":2}]}}`, `{"r":{"l":[]},"r":{"l":[{"d":2}]}}`}, // and the decoder refuses it
	} {
		left, ok := Sift([]byte(c.data), func(one []byte) bool { return bytes.Contains(one, []byte(`"d"`)) }, "r", "l")
		if !ok || string(left) != c.left {
			t.Errorf("%s: %v\n%s, want\n%s", c.data, ok, left, c.left)
		}
	}
}

// TestSiftGivesUp: where there is no array of objects nothing is dropped, and
// nobody is asked.
func TestSiftGivesUp(t *testing.T) {
	for _, data := range []string{
		``, `{`, `[]`, `{}`, `{"r"`, `{"r":`, `{"r":{}}`, `{"r":{"l":{}}}`, `{"r":{"l":"[{}]"}}`, `{"r":{"l":[]}}`, `{"r":{"l":[1]}}`,
		`{"r":{"l":[{},1]}}`, `{"r":{"l":[{},]}}`, `{"r":{"l":[{} {}]}}`, `{"r":{"l":[{}`, `{"r":{"l":[{"a]}`, `{"r":{"l":[,{}]}}`, `{"r":[{"l":[{}]}]}`,
		`{"\u0072":{"l":[{}]}}`, `{"x":{"r":{"l":[{}]}}}`, `{"x","r":{"l":[{}]}}`, `{x:1,"r":{"l":[{}]}}`, `"r":{"l":[{}]}`, `{"R":{"L":[{}]}}`, `{"x":"`,
	} {
		left, ok := Sift([]byte(data), func([]byte) bool { t.Errorf("%s: asked", data); return true }, "r", "l")
		if ok || string(left) != data {
			t.Errorf("%s: %v %s", data, ok, left)
		}
	}
}

// FuzzSift proves T5 for what was sifted: as long as only what was decoded before
// is dropped, a text is accepted with and without, or neither way, and nothing is
// lost: hostile text gets nothing past the decoder.
func FuzzSift(f *testing.F) {
	for _, seed := range []string{
		`{"e":0,"r":{"m":true,"l":[{"u":"a"},{"u":"b"},{"u":"c"}],"n":1}}`, `{"r":{"l":[{"u":"a"}]},"r":{"l":[]}}`, `{"r":{"l":[{"u":"a"},{"u":"a","U":"b"}]}}`,
		`{"r":{"l":[{"u":"a"}}]}`, `{"r":{"l":[{"u":"\"}]"},[]]}}`, `{"r":{"l":[{"u":1}],"\u006c":[{}]}}`, "{\"r\":{\"l\":[{\"\xff\":1},{}]}}", `{"r":{"l":[{}{}]}}`,
		`{"x":"[{\"r\":","r":{"l":[ {} , {"v":[1,{}]} ]}} `, `{"r":{"l":[{}]}`, `{"r":{"l":[{}],}}`, `{"r":{"l":[{"u":1},{"u":2}]]}`, `{"r":{"l":[{"u":[}]},{"u":{]}]}}`,
	} {
		f.Add([]byte(seed), uint8(0b101))
	}
	f.Fuzz(func(t *testing.T, data []byte, mask uint8) {
		var dropped [][]byte
		n, before := 0, bytes.Clone(data)
		left, ok := Sift(data, func(one []byte) bool {
			n++
			var value any
			known := mask>>(n%8)&1 == 1 && Decode(one, &value) == nil
			if known {
				dropped = append(dropped, bytes.Clone(one))
			}
			return known
		}, "r", "l")
		if !bytes.Equal(data, before) {
			t.Fatalf("%q was changed to %q", before, data)
		}
		if !ok && (n > 0 || !bytes.Equal(left, data)) {
			t.Fatalf("%q: given up, and yet %q", data, left)
		}
		var whole, rest any
		err, errLeft := Decode(data, &whole), Decode(left, &rest)
		if (err == nil) != (errLeft == nil) {
			t.Fatalf("%q: %v\n%q: %v", data, err, left, errLeft)
		}
		if err == nil && n > 0 && !reflect.DeepEqual(listOf(whole), together(t, rest, dropped)) {
			t.Fatalf("%q\n%q and %q", data, left, dropped)
		}
	})
}

// listOf are the elements of the array, sorted.
func listOf(v any) []string {
	var texts []string
	for _, one := range v.(map[string]any)["r"].(map[string]any)["l"].([]any) {
		text, _ := json.Marshal(one, json.Deterministic(true))
		texts = append(texts, string(text))
	}
	slices.Sort(texts)
	return texts
}

// together are those that are left, and those that were dropped.
func together(t *testing.T, rest any, dropped [][]byte) []string {
	t.Helper()
	texts := listOf(rest)
	for _, one := range dropped {
		var value any
		if err := json.Unmarshal(one, &value); err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(value, json.Deterministic(true))
		texts = append(texts, string(text))
	}
	slices.Sort(texts)
	return texts
}

// TestSiftOfBrackets: a text of nothing but openings costs no more than its length.
func TestSiftOfBrackets(t *testing.T) {
	data := []byte(`{"r":{"l":[` + strings.Repeat(`{"a":[`, 1<<19))
	if _, ok := Sift(data, func([]byte) bool { return true }, "r", "l"); ok {
		t.Error("sifted")
	}
}

func BenchmarkSift(b *testing.B) {
	one := `{"userid":"p000001","name":"欧阳秀英","title":"高级工程师","dept_id_list":[1,2],"active":true,` +
		`"unionid":"0123456789abcdefghijkiEiE","extension":"{\"爱好\":\"旅游\"}","job_number":"N000001","hired_date":1597573616828}`
	body := []byte(`{"errcode":0,"result":{"list":[` + strings.Repeat(one+",", 99) + one + `]}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if left, ok := Sift(body, func([]byte) bool { return true }, "result", "list"); !ok || len(left) > 100 {
			b.Fatal(string(left))
		}
	}
}
