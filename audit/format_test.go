package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestFormatIsEnoughForAnOwnVerifier checks an export with nothing but what
// docs/audit-format.md says, written out again here on purpose (F42).
func TestFormatIsEnoughForAnOwnVerifier(t *testing.T) {
	c := setup(t)
	l := open(t, c)
	for i, e := range []Event{signIn(1), {Action: ActionMint, Outcome: Failed, Target: "<a>\u202e\x1b[31m\r\n金蝶", Detail: map[string]string{"b": "2", "a": "1"}}, signIn(3)} {
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(i, err)
		}
	}
	var export bytes.Buffer
	if err := l.Each(t.Context(), Query{}, func(r Record) error { return r.WriteLine(&export) }); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	macKey, err := hkdf.Key(sha256.New, testKey, nil, "kdgate audit record mac v1", 32)
	if err != nil {
		t.Fatal(err)
	}
	tip, seq := strings.Repeat("0", 64), 0
	for line := range bytes.Lines(export.Bytes()) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		body := append(bytes.Clone(line[:bytes.LastIndex(line, []byte(`,"hash":"`))]), '}')
		var r struct {
			Seq             int
			Prev, Hash, MAC string
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		mac := hmac.New(sha256.New, macKey)
		mac.Write(sum[:])
		if r.Prev != tip || r.Seq != seq+1 || r.Hash != hex.EncodeToString(sum[:]) || r.MAC != hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("record %d does not verify: %s", seq+1, line)
		}
		tip, seq = r.Hash, r.Seq
	}
	if want := `"target":"\u003ca\u003e\u202e\u001b[31m\u000d\u000a金蝶","detail":{"a":"1","b":"2"}`; !strings.Contains(export.String(), want) {
		t.Errorf("export lacks %s:\n%s", want, &export)
	}
	checkAnchorByHand(t, c.AnchorFile, tip, seq)
}

func checkAnchorByHand(t *testing.T, path, tip string, seq int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	line := lines[len(lines)-1]
	var c struct {
		Kind, Hash, Sig string
		Seq             int
	}
	if err := json.Unmarshal(line, &c); err != nil {
		t.Fatal(err)
	}
	sig, err := hex.DecodeString(c.Sig)
	if err != nil {
		t.Fatal(err)
	}
	public, err := PublicKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	signed := append(bytes.Clone(line[:bytes.LastIndex(line, []byte(`,"sig":"`))]), '}')
	if !ed25519.Verify(public, signed, sig) || c.Kind != "checkpoint" || c.Hash != tip || c.Seq != seq {
		t.Errorf("checkpoint %s does not swear to record %d %s", line, seq, tip)
	}
}

func TestBounds(t *testing.T) { // T115: user agent 256 bytes
	detail := map[string]string{"long": strings.Repeat("值", 2000)}
	for i := range 60 {
		detail[fmt.Sprintf("%02d", i)] = "x"
	}
	body := append([]byte(`{"v":1`), encodeEvent(Event{
		Action: ActionSignIn, Outcome: OK, UserAgent: strings.Repeat("浏", 300), Reason: strings.Repeat("r", 256), Before: strings.Repeat("b", 9000), Detail: detail,
	})...)
	var w wire
	if err := json.Unmarshal(body, &w); err != nil {
		t.Fatal(err)
	}
	if len(w.UserAgent) > 256 || len(w.UserAgent) < 250 || !utf8.ValidString(w.UserAgent) || !strings.HasSuffix(w.UserAgent, "…") {
		t.Errorf("user agent of %d bytes: %q", len(w.UserAgent), w.UserAgent)
	}
	if len(w.Reason) != 256 || strings.HasSuffix(w.Reason, "…") {
		t.Errorf("a text that just fits was cut: %q", w.Reason)
	}
	if len(w.Before) != 4096 {
		t.Errorf("before has %d bytes", len(w.Before))
	}
	if len(w.Detail) != maxDetails+1 || w.Detail[droppedName] != "29" {
		t.Errorf("detail has %d members, %s dropped", len(w.Detail), w.Detail[droppedName])
	}
}

func TestDetailNamesStayUnique(t *testing.T) {
	long := strings.Repeat("n", 80)
	text := appendDetail(nil, map[string]string{long + "1": "a", long + "2": "b", droppedName: "mine"})
	if n := strings.Count(string(text), `":"`); n != 2 {
		t.Errorf("%s has %d members, want the shortened name once and the count", text, n)
	}
	if !strings.Contains(string(text), `"_dropped":"1"`) {
		t.Errorf("%s does not count what was dropped", text)
	}
}

var hostile = []string{
	"", "plain", "a\r\nb", "\x1b[2J\x1b]0;title\a", "nul\x00inside", "\u202egnp.exe\u202c", "\u2028\u2029\u0085", "\xff\xfe\xc3(", "\xed\xa0\x80",
	"zero\u200bwidth\ufeff", "\U000e0041tag", "emoji 👩‍👩‍👧", "\"quoted\\", "</script><!--", "\u00a0\u3000", "{\"a\":1}", "😀\ue000\U0010fffe\uffff",
}

// FuzzHygiene: whatever stands in whatever field, the record is one line of
// well-formed JSON whose characters do nothing (T113), reads back as what was
// cleaned, and survives encoding/json byte for byte.
func FuzzHygiene(f *testing.F) {
	for _, text := range hostile {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		event := Event{
			Action: Action(a), Outcome: Outcome(b), Reason: a, Actor: b, OnBehalfOf: a, Target: b, Door: a, DataCentre: b, Source: a,
			UserAgent: b, RequestID: a, Before: b, After: a, Detail: map[string]string{a: b, b: a},
		}
		body := append(appendHead(nil, head{replica: "n"}), encodeEvent(event)...)
		var back wire
		if err := json.Unmarshal(body, &back); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		for _, r := range string(body) {
			if r == utf8.RuneError {
				continue
			}
			if unicode.IsControl(r) || !unicode.IsGraphic(r) {
				t.Fatalf("%q is in %q", r, body)
			}
		}
		if back.Target != clean(b, maxTarget) || back.UserAgent != clean(b, maxText) || len(back.UserAgent) > maxText {
			t.Fatalf("%q reads back as %q", b, back.Target)
		}
		r := Record{body: body}
		line := r.AppendLine(nil)
		if marshalled, err := json.Marshal(r); err != nil || !bytes.Equal(marshalled, line) {
			t.Fatalf("encoding/json changes %q to %q (%v)", line, marshalled, err)
		}
		if _, ok := parseHead(body); ok {
			t.Fatal("sequence zero was taken")
		}
	})
}

func FuzzParse(f *testing.F) {
	keys, err := deriveKeys(testKey)
	if err != nil {
		f.Fatal(err)
	}
	good := signedLine{Kind: kindCheckpoint, Replica: "node1", Seq: 7}
	f.Add(good.sign(keys.sign))
	f.Add(append(appendHead(nil, head{replica: "node1", seq: 7}), encodeEvent(signIn(1))...))
	f.Add([]byte(`{"v":1,"replica":"a","seq":1,"prev":"`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if line, err := parseLine(text); err == nil && line.verified(keys.public()) && !bytes.Equal(line.sign(keys.sign), bytes.TrimSpace(text)) {
			t.Errorf("%q verifies and is not in the one form", text)
		}
		if h, ok := parseHead(text); ok && !bytes.HasPrefix(text, []byte(fmt.Sprintf(`{"v":1,"replica":"%s","seq":%d,"prev":"`, h.replica, h.seq))) {
			t.Errorf("%q was read as %+v", text, h)
		}
	})
}

func TestHostileTextIsOneLineInTheLog(t *testing.T) { // T113
	c := setup(t)
	l := open(t, c)
	for _, text := range hostile {
		if err := l.Append(t.Context(), Event{Action: ActionSignIn, Outcome: Refused, Actor: text, Target: text, UserAgent: text, Detail: map[string]string{text: text}}); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if text == "" {
			continue
		}
		found, err := l.Search(t.Context(), Query{Person: text})
		if err != nil || len(found) != 1 || found[0].Actor != clean(text, maxText) {
			t.Errorf("%q: found %d, %v", text, len(found), err)
		}
	}
	var export bytes.Buffer
	if err := l.Each(t.Context(), Query{}, func(r Record) error { return r.WriteLine(&export) }); err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(export.Bytes(), []byte("\n")); lines != len(hostile) {
		t.Errorf("%d lines for %d records", lines, len(hostile))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, verifyConfig(c))
}

func TestCSVIsSafeInSpreadsheets(t *testing.T) {
	l := open(t, setup(t))
	e := Event{Action: ActionSignIn, Outcome: OK, Actor: `=HYPERLINK("http://x")`, Target: "＝1", Reason: "\t=1", UserAgent: "a,\"b\"\r\nc", Before: "-1", Detail: map[string]string{"k": "v"}}
	if err := l.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := NewCSVWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Each(t.Context(), Query{}, w.Write); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(out.String(), "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	got := map[string]string{}
	for i, name := range rows[0] {
		got[name] = rows[1][i]
	}
	for name, want := range map[string]string{
		"actor": `'=HYPERLINK("http://x")`, "target": "'＝1", "reason": `'\u0009=1`, "user_agent": `a,"b"\u000d\u000ac`,
		"before": "'-1", "detail": `{"k":"v"}`, "seq": "1", "action": "signin",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}
