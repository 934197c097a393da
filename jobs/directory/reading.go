package directory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/dingtalk"
	"kdgate/store"
)

// reading is what the text that DingTalk sent about a person came to when it was
// decoded: whose it is, and the print of the record that the rules made of it,
// with what else went into that and is this person's own. The same text comes to
// the same again, so it need not be decoded twice. A reading says nothing of what
// was written to Kingdee: that is Known's alone. So nobody has to be told of a
// change, and no reading, however old, can hide one.
type reading struct {
	userid, print string
	given         string // number by hand
	home          int64  // main department; whoever has it already keeps it
	agreed        bool
}

// ground is all that readings have in common: a print of the rules, the
// departments and the program.
type ground [16]byte

// groundOf is what the readings of a run stand on.
func (w *walk) groundOf() (ground, error) {
	text, err := json.Marshal(struct {
		Release         string
		Rules           Rules
		Asked, Minimum  bool
		Departments     []int64
		DepartmentDepth []int
	}{w.cfg.Release, w.cfg.Rules, w.cfg.Consents != nil, w.cfg.Minimum, w.tree.ids(), w.tree.depths()}, json.Deterministic(true))
	if err != nil {
		return ground{}, fmt.Errorf("directory: %w", err)
	}
	sum := sha256.Sum256(text)
	return ground(sum[:]), nil
}

// remember brings back the readings of the runs before.
func (w *walk) remember(ctx context.Context) error {
	ground, err := w.groundOf()
	if err != nil {
		return err
	}
	w.readings = &readings{ground: ground, now: w.cfg.Now()}
	var stored []store.Entry
	err = scan(ctx, w.cfg.Store, readingPrefix+w.cfg.Corp+"/", func(entry store.Entry) error {
		stored = append(stored, entry)
		return nil
	})
	w.readings.load(stored)
	return err
}

// recognise looks whose texts need not be decoded: of those people who would stay
// as they are known.
func (w *walk) recognise() {
	for i := range w.readings.list {
		one := &w.readings.list[i]
		found := w.readings.at(*one)
		known := w.known.get(found.userid)
		if known != nil && !known.gone && known.print == found.print && known.home == found.home &&
			w.given[found.userid].Number == found.given && w.agrees[found.userid] == found.agreed {
			one.who = known
		}
	}
}

// keptAtOnce is how many buckets go in one commit, so that it stays small.
const keptAtOnce = 16

// keepReadings keeps what this run met for the next one. What could not be kept is
// decoded again, which is no failure of the run.
func (w *walk) keepReadings(ctx context.Context, met *readings) {
	ops := met.ops(func(bucket int) string { return fmt.Sprintf("%s%s/%02x", readingPrefix, w.cfg.Corp, bucket) })
	for some := range slices.Chunk(ops, keptAtOnce) {
		if err := w.cfg.Store.Commit(ctx, some...); err != nil {
			w.cfg.Logger.Warn("directory: what texts came to was not kept", "run", w.run.ID, "error", err)
			return
		}
	}
}

// readings are the readings of all texts that the last run met, and of those
// that are new in this one. They are kept in buckets by the first byte of a
// text's sum, so that few changes rewrite little.
type readings struct {
	ground ground
	now    time.Time
	part   bool // this run goes on from another's pages: it does not meet everybody's text

	text    string // of all buckets
	list    []noted
	place   map[dingtalk.Sum]int32 // in list
	buckets [readingBuckets]readingBucket
}

// noted is a reading as it stands in the text.
type noted struct {
	from, to int32
	met      bool    // by this run
	who      *rolled // whose it is, where it says that they stay as they are
}

type readingBucket struct {
	from, to int // in list; while it is loaded, in text
	stored   bool
	since    int64  // Unix seconds of the oldest reading
	fresh    []byte // readings of this run
}

const (
	readingBuckets = 256
	readingFormat  = 1
	readingHead    = 1 + len(ground{}) + 8 // format, ground, since
	readingUsual   = 60                    // bytes of one, or a little more
)

// load takes whatever the store has; what is of another format, ground or day is
// forgotten.
func (r *readings) load(entries []store.Entry) {
	var text strings.Builder
	size := 0
	for _, entry := range entries {
		size += len(entry.Value)
	}
	text.Grow(size)
	for _, entry := range entries {
		n, ok := bucketOf(entry.Key)
		if !ok {
			continue
		}
		b := &r.buckets[n]
		b.stored = true
		if b.since, ok = r.opens(n, entry.Value); ok {
			b.from = text.Len()
			text.Write(entry.Value[readingHead:])
			b.to = text.Len()
		}
	}
	r.text = text.String()
	r.list = make([]noted, 0, len(r.text)/readingUsual)
	r.place = make(map[dingtalk.Sum]int32, cap(r.list))
	for n := range r.buckets {
		r.index(n)
	}
}

// opens reads the head of a bucket.
func (r *readings) opens(n int, value []byte) (since int64, ok bool) {
	if len(value) < readingHead || value[0] != readingFormat || !bytes.Equal(value[1:1+len(r.ground)], r.ground[:]) {
		return 0, false
	}
	since = int64(binary.BigEndian.Uint64(value[readingHead-8:]))
	return since, readingDay(n, since) == readingDay(n, r.now.Unix())
}

// readingDay is the day that a time belongs to in a bucket. Each bucket has its
// own midnight, at which it is forgotten: should a reading ever be wrong, it is
// for a day, and one run does not read everybody for that.
func readingDay(n int, at int64) int64 {
	const day = 24 * 60 * 60
	return (at + int64(n)*day/readingBuckets) / day
}

// index lists the readings in a bucket's text. What cannot be read ends it.
func (r *readings) index(n int) {
	b := &r.buckets[n]
	from, to := b.from, b.to
	b.from = len(r.list)
	for from < to {
		sum, _, rest, ok := cutReading(r.text[from:to])
		if !ok || int(sum[0]) != n {
			break
		}
		r.place[sum] = int32(len(r.list))
		r.list = append(r.list, noted{from: int32(from), to: int32(to - len(rest))})
		from = to - len(rest)
	}
	b.to = len(r.list)
}

// at is a reading that was listed.
func (r *readings) at(one noted) reading {
	_, found, _, _ := cutReading(r.text[one.from:one.to])
	return found
}

// familiar reports whether a text need not be decoded. Several readers ask at
// once; what it looks at is not written meanwhile.
func (r *readings) familiar(text dingtalk.Sum) bool {
	at, there := r.place[text]
	return there && r.list[at].who != nil
}

// meet keeps the reading of a familiar text for the next run, and tells whose it is.
func (r *readings) meet(text dingtalk.Sum) *rolled {
	one := &r.list[r.place[text]]
	one.met = true
	return one.who
}

// note keeps what a text has come to, instead of what it came to before.
func (r *readings) note(text dingtalk.Sum, come reading) {
	if come.userid == "" || text == (dingtalk.Sum{}) || max(len(come.userid), len(come.print), len(come.given)) > longest {
		return
	}
	if at, there := r.place[text]; there {
		one := &r.list[at]
		if one.met = r.at(*one) == come; one.met {
			return
		}
	}
	b := &r.buckets[text[0]]
	b.fresh = come.append(append(b.fresh, text[:]...))
}

// ops write the buckets that this run has changed.
func (r *readings) ops(key func(bucket int) string) []store.Op {
	var ops []store.Op
	for n := range r.buckets {
		b := &r.buckets[n]
		value, same := r.bucket(b)
		switch {
		case same:
		case len(value) > readingHead:
			ops = append(ops, store.Put(key(n), value))
		case b.stored:
			ops = append(ops, store.Delete(key(n)))
		}
	}
	return ops
}

// bucket is the value of a bucket after this run; same when it is what it was.
func (r *readings) bucket(b *readingBucket) (value []byte, same bool) {
	old := r.list[b.from:b.to]
	kept, size := 0, readingHead+len(b.fresh)
	for _, one := range old {
		if one.met || r.part {
			kept++
			size += int(one.to - one.from)
		}
	}
	if len(b.fresh) == 0 && kept == len(old) && (kept > 0 || !b.stored) {
		return nil, true
	}
	since := b.since
	if len(old) == 0 {
		since = r.now.Unix()
	}
	value = append(make([]byte, 0, size), readingFormat)
	value = append(value, r.ground[:]...)
	value = binary.BigEndian.AppendUint64(value, uint64(since))
	for _, one := range old {
		if one.met || r.part {
			value = append(value, r.text[one.from:one.to]...)
		}
	}
	if size <= store.MaxValue { // or what is too much is decoded every time
		value = append(value, b.fresh...)
	}
	return value, false
}

// longest is the length of a text in a reading.
const longest = 1<<16 - 1

// append writes a reading behind its sum.
func (one reading) append(text []byte) []byte {
	text = binary.BigEndian.AppendUint64(text, uint64(one.home))
	agreed := byte(0)
	if one.agreed {
		agreed = 1
	}
	text = append(text, agreed)
	for _, field := range []string{one.userid, one.print, one.given} {
		text = append(binary.BigEndian.AppendUint16(text, uint16(len(field))), field...)
	}
	return text
}

// cutReading takes the first reading off, without copying.
func cutReading(text string) (sum dingtalk.Sum, one reading, rest string, ok bool) {
	const fixed = len(sum) + 8 + 1
	if len(text) < fixed {
		return sum, one, "", false
	}
	copy(sum[:], text)
	for _, b := range []byte(text[len(sum) : len(sum)+8]) {
		one.home = one.home<<8 | int64(b)
	}
	one.agreed = text[fixed-1] == 1
	rest = text[fixed:]
	for _, field := range []*string{&one.userid, &one.print, &one.given} {
		if *field, rest, ok = cutSized(rest); !ok {
			return sum, one, "", false
		}
	}
	return sum, one, rest, true
}

// cutSized takes a text off that has its length before it.
func cutSized(text string) (field, rest string, ok bool) {
	if len(text) < 2 {
		return "", "", false
	}
	size := int(text[0])<<8 | int(text[1])
	if text = text[2:]; len(text) < size {
		return "", "", false
	}
	return text[:size], text[size:], true
}

// bucketOf reads the number of a bucket off its key.
func bucketOf(key string) (int, bool) {
	n, err := strconv.ParseUint(key[strings.LastIndexByte(key, '/')+1:], 16, 8)
	return int(n), err == nil
}
