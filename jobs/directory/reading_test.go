package directory

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/store"
)

func readingKey(bucket int) string { return fmt.Sprintf("directory/reading/c/%02x", bucket) }

// again is what the next run has of what this one keeps, over what was stored.
func (r *readings) again(stored map[string]store.Entry) *readings {
	for _, op := range r.ops(readingKey) {
		if op.Kind == store.OpDelete {
			delete(stored, op.Key)
		} else {
			stored[op.Key] = store.Entry{Key: op.Key, Value: op.Value}
		}
	}
	next := &readings{ground: r.ground, now: r.now}
	entries := make([]store.Entry, 0, len(stored))
	for _, entry := range stored {
		entries = append(entries, entry)
	}
	next.load(entries)
	return next
}

// find is the reading of a text.
func (r *readings) find(text dingtalk.Sum) (reading, bool) {
	at, there := r.place[text]
	if !there {
		return reading{}, false
	}
	return r.at(r.list[at]), true
}

var (
	someDay = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	sum1    = dingtalk.Sum{1, 1}
	sum2    = dingtalk.Sum{1, 2}
	sum3    = dingtalk.Sum{255}
)

// TestReadings: what a run meets is there for the next one, to the letter, and
// nothing else is; a run that meets nothing new writes nothing.
func TestReadings(t *testing.T) {
	stored := map[string]store.Entry{}
	r := &readings{now: someDay}
	r.load(nil)
	full := reading{userid: "u\x00,\"1", print: "p/+", given: strings.Repeat("9", 300), home: 1<<62 + 7, agreed: true}
	r.note(sum1, full)
	r.note(sum2, reading{userid: "u2", print: "p"})
	r.note(sum3, reading{userid: "u3", print: "p"})
	r.note(dingtalk.Sum{}, full)                                                         // nobody knows of what text
	r.note(dingtalk.Sum{2}, reading{})                                                   // of somebody who was set aside
	r.note(dingtalk.Sum{3}, reading{userid: "u", given: strings.Repeat("9", longest+1)}) // too long to be kept
	r = r.again(stored)
	if len(r.list) != 3 || len(stored) != 2 {
		t.Fatalf("%d readings in %d buckets", len(r.list), len(stored))
	}
	if got, _ := r.find(sum1); got != full {
		t.Errorf("%+v", got)
	}
	for i := range r.list {
		r.list[i].who = &rolled{}
	}
	r.meet(sum1)
	r.meet(sum2)
	r.note(sum3, reading{userid: "u3", print: "p"}) // decoded again, to the same
	if ops := r.ops(readingKey); len(ops) != 0 {
		t.Errorf("%d writes though nothing changed", len(ops))
	}
	r.note(sum3, reading{userid: "u3", print: "p", given: "7"})
	r = r.again(stored)
	if got, _ := r.find(sum3); got.given != "7" || len(r.list) != 3 {
		t.Errorf("%+v of %d", got, len(r.list))
	}
	r.list[r.place[sum2]].met = true
	r = r.again(stored) // and nobody met the others
	if _, there := r.find(sum2); !there || len(r.list) != 1 || len(stored) != 1 {
		t.Errorf("%d readings in %d buckets", len(r.list), len(stored))
	}
	r.part = true
	r = r.again(stored)
	if r = r.again(map[string]store.Entry{}); len(r.list) != 0 {
		t.Errorf("%d readings out of nothing", len(r.list))
	}
}

// TestReadingsInPart: a run that goes on behind another's pages keeps what it did
// not meet.
func TestReadingsInPart(t *testing.T) {
	stored := map[string]store.Entry{}
	r := &readings{now: someDay}
	r.load(nil)
	r.note(sum1, reading{userid: "u1", print: "old"})
	r.note(sum2, reading{userid: "u2"})
	r = r.again(stored)
	r.part = true
	r.note(sum1, reading{userid: "u1", print: "new"})
	r = r.again(stored)
	if got, _ := r.find(sum1); got.print != "new" {
		t.Errorf("%+v", got)
	}
	if _, there := r.find(sum2); !there {
		t.Error("what was not met is forgotten")
	}
}

// TestReadingsForget: what stands on another ground, was kept in another format,
// is of another day or of another bucket is not believed, and gives way.
func TestReadingsForget(t *testing.T) {
	for name, change := range map[string]func(*readings, []byte) []byte{
		"ground":   func(r *readings, v []byte) []byte { r.ground[15]++; return v },
		"format":   func(_ *readings, v []byte) []byte { v[0]++; return v },
		"a day":    func(r *readings, v []byte) []byte { r.now = r.now.Add(24 * time.Hour); return v },
		"tomorrow": func(r *readings, v []byte) []byte { r.now = r.now.Add(-24 * time.Hour); return v },
		"bucket":   func(_ *readings, v []byte) []byte { v[readingHead]++; return v },
		"cut off":  func(_ *readings, v []byte) []byte { return v[:len(v)-1] },
		"head":     func(_ *readings, v []byte) []byte { return v[:readingHead-1] },
		"nothing":  func(_ *readings, v []byte) []byte { return nil },
	} {
		stored := map[string]store.Entry{}
		r := &readings{now: someDay}
		r.load(nil)
		r.note(sum1, reading{userid: "u1", print: "p"})
		r.again(stored)
		next := &readings{now: someDay}
		next.load([]store.Entry{{Key: readingKey(1), Value: change(next, stored[readingKey(1)].Value)}, {Key: "directory/reading/c/no bucket"}})
		if len(next.list) != 0 {
			t.Errorf("%s: %d readings are believed", name, len(next.list))
		}
		if ops := next.ops(readingKey); len(ops) != 1 || ops[0].Kind != store.OpDelete {
			t.Errorf("%s: %+v", name, ops)
		}
		next.note(sum2, reading{userid: "u2", print: "p"})
		ops := next.ops(readingKey)
		if len(ops) != 1 || int64(binary.BigEndian.Uint64(ops[0].Value[readingHead-8:])) != next.now.Unix() {
			t.Errorf("%s: %+v", name, ops)
		}
	}
}

// TestReadingDay: every bucket is forgotten once a day, and never many at once.
func TestReadingDay(t *testing.T) {
	ended := map[int]int{}
	for minute := range 24 * 60 {
		at, n := someDay.Add(time.Duration(minute)*time.Minute).Unix(), 0
		for bucket := range readingBuckets {
			if readingDay(bucket, at) != readingDay(bucket, at+60) {
				ended[bucket]++
				n++
			}
		}
		if n > 1 {
			t.Errorf("minute %d: %d buckets at once", minute, n)
		}
	}
	for bucket := range readingBuckets {
		if ended[bucket] != 1 {
			t.Errorf("bucket %d: %d times a day", bucket, ended[bucket])
		}
	}
}

// TestReadingsBound: a bucket stays within what the store takes.
func TestReadingsBound(t *testing.T) {
	r := &readings{now: someDay}
	r.load(nil)
	for i := range 40 {
		r.note(dingtalk.Sum{1, byte(i)}, reading{userid: strings.Repeat("u", longest)})
	}
	for _, op := range r.ops(readingKey) {
		if len(op.Value) > store.MaxValue {
			t.Errorf("%d bytes", len(op.Value))
		}
	}
}

// FuzzReadings proves that no bucket, whatever it holds, does harm: what is read
// of it is written as it was read.
func FuzzReadings(f *testing.F) {
	one := append(sum1[:], reading{userid: "u1", print: "p", given: "7", home: 9, agreed: true}.append(nil)...)
	f.Add(one)
	f.Add(append(append([]byte{}, one...), one[:20]...))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, text []byte) {
		r := &readings{now: someDay}
		head := append([]byte{readingFormat}, r.ground[:]...)
		head = binary.BigEndian.AppendUint64(head, uint64(someDay.Unix()))
		r.load([]store.Entry{{Key: readingKey(1), Value: append(head, text...)}})
		at := 0
		for i, one := range r.list {
			if int(one.from) != at || one.to <= one.from || int(one.to) > len(text) {
				t.Fatalf("%d: from %d to %d of %d", i, one.from, one.to, len(text))
			}
			at = int(one.to)
			found := r.at(one)
			again := append([]byte(r.text[one.from:one.from+16]), found.append(nil)...)
			if _, twice, _, ok := cutReading(string(again)); !ok || twice != found || len(again) != int(one.to-one.from) {
				t.Fatalf("%q is read as %+v, and then as %+v", r.text[one.from:one.to], found, twice)
			}
			if again[24] = r.text[one.from+24]; !bytes.Equal(again, []byte(r.text[one.from:one.to])) {
				t.Fatalf("%q became %q", r.text[one.from:one.to], again)
			}
		}
	})
}
