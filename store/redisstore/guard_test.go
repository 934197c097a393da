package redisstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		ok     bool
	}{
		"every kind":          {"+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\nb\r\n$-1\r\n$0\r\n\r\n*-1\r\n*0\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n+OK\r\n", true},
		"a header in a value": {"$11\r\n$99999999\r\n\r\n+OK\r\n", true},
		"the largest value":   {fmt.Sprintf("$%d\r\n", guardBulk), true},
		"too large a value":   {fmt.Sprintf("$%d\r\n", guardBulk+1), false},
		"a huge value":        {"$99999999999\r\n", false},
		"beyond an integer":   {"$99999999999999999999999\r\n", false},
		"a negative size":     {"$-2\r\n", false},
		"no number":           {"$x\r\n", false},
		"too long an array":   {fmt.Sprintf("*%d\r\n", guardItems+1), false},
		"deep":                {strings.Repeat("*1\r\n", guardDepth) + ":1\r\n" + strings.Repeat("*1\r\n", guardDepth) + ":1\r\n", true},
		"too deep":            {strings.Repeat("*1\r\n", guardDepth+1), false},
		"too deep, sideways":  {strings.Repeat("*2\r\n:1\r\n", guardDepth+1), false},
		"an endless line":     {"+" + strings.Repeat("x", guardLine), false},
		"HTML":                {"<html>\r\n", false},
		"HTTP":                {"HTTP/1.1 400 Bad Request\r\n", false},
		"RESP3":               {"%2\r\n+a\r\n_\r\n+b\r\n~1\r\n#t\r\n>1\r\n=5\r\ntxt:\n\r\n,1.5\r\n!3\r\nERR\r\n", true},
		"too deep, by maps":   {strings.Repeat("%1\r\n+k\r\n", guardDepth+1), false},
		"an attribute":        {"|1\r\n+a\r\n+b\r\n:1\r\n", false},
		"an empty line":       {"\r\n", false},
	} {
		var whole, bytewise guard
		err := whole.check([]byte(c.stream))
		if (err == nil) != c.ok || (err != nil && !errors.Is(err, errGuard)) {
			t.Errorf("%s: %v", name, err)
		}
		if again := whole.check([]byte("+OK\r\n")); (again == nil) != c.ok {
			t.Errorf("%s: afterwards %v", name, again)
		}
		err = nil
		for i := 0; i < len(c.stream) && err == nil; i++ {
			err = bytewise.check([]byte{c.stream[i]})
		}
		if (err == nil) != c.ok {
			t.Errorf("%s, byte by byte: %v", name, err)
		}
	}
}

// FuzzGuard: the verdict does not hang on how the network cuts the stream.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("*2\r\n$5\r\nhello\r\n:1\r\n"), 7)
	f.Add([]byte("$99999999999\r\n"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		if cut < 0 || cut > len(stream) {
			cut = len(stream) / 2
		}
		var whole, parts guard
		want := whole.check(stream)
		got := parts.check(stream[:cut])
		if got == nil {
			got = parts.check(stream[cut:])
		}
		if (want == nil) != (got == nil) {
			t.Errorf("whole: %v, cut at %d: %v", want, cut, got)
		}
		if whole.skip < 0 || whole.skip > guardBulk+2 || len(whole.left) > guardDepth || len(whole.line) > guardLine {
			t.Errorf("unbounded: %+v", whole)
		}
	})
}

// FuzzUnpack: what Redis holds never panics, and only reads back what was packed.
func FuzzUnpack(f *testing.F) {
	f.Add(pad(7) + pad(0) + "value")
	f.Add(pad(1<<63) + pad(1<<62) + "")
	f.Add("short")
	f.Fuzz(func(t *testing.T, text string) {
		entry, err := unpack("k", text)
		if err != nil {
			if !errors.Is(err, errMalformed) {
				t.Error(err)
			}
			return
		}
		if got := packHead(entry.Version, entry.ExpiresAt) + string(entry.Value); got != text {
			t.Errorf("%q was read as %q", text, got)
		}
	})
}

// FuzzUnpackEvents: a change message never panics and never names an empty key
// beside others: that event stands alone and means everything.
func FuzzUnpackEvents(f *testing.F) {
	f.Add("pa/1\nda/2")
	f.Add("")
	f.Add("x\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		events := unpackEvents(text)
		if len(events) == 0 {
			t.Error("a message without events")
		}
		for _, ev := range events {
			if ev.Key == "" && len(events) != 1 {
				t.Errorf("%q: %+v", text, events)
			}
		}
	})
}
