package audit

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var mutations = flag.Int("mutations", 10_000, "random mutations of the log to try")

// A mutation changes a whole and sound log, and says what it did.
type mutation struct {
	name string
	do   func(rng *rand.Rand, log sound) (what string, rows []row)
}

// sound is a log before it is changed.
type sound struct {
	rows  []row
	sworn []signedLine // the checkpoints at the anchor, the last one of the last row
	mac   []byte       // the key of the records, which only the gateway has
}

// kinds are all that T112 lists.
func kinds() []mutation {
	return []mutation{
		{"one bit", oneBit},
		{"delete", func(rng *rand.Rand, log sound) (string, []row) {
			from := rng.IntN(len(log.rows))
			to := min(len(log.rows), from+1+rng.IntN(5))
			return fmt.Sprintf("%d to %d", from, to), slices.Delete(slices.Clone(log.rows), from, to)
		}},
		{"insert", func(rng *rand.Rand, log sound) (string, []row) { // by somebody without the key, at any place, the rest left
			i := rng.IntN(len(log.rows) + 1)
			foreign := chained(log.rows[:i], [][]byte{event(rng)}, randomKey(rng))
			return fmt.Sprint(i), slices.Concat(foreign, log.rows[i:])
		}},
		{"reorder", func(rng *rand.Rand, log sound) (string, []row) {
			i := rng.IntN(len(log.rows))
			j := (i + 1 + rng.IntN(len(log.rows)-1)) % len(log.rows)
			rows := slices.Clone(log.rows)
			rows[i], rows[j] = rows[j], rows[i]
			return fmt.Sprintf("%d and %d", i, j), rows
		}},
		{"duplicate", func(rng *rand.Rand, log sound) (string, []row) {
			i, j := rng.IntN(len(log.rows)), rng.IntN(len(log.rows)+1)
			return fmt.Sprintf("%d to %d", i, j), slices.Insert(slices.Clone(log.rows), j, log.rows[i])
		}},
		{"cut at a checkpoint", func(rng *rand.Rand, log sound) (string, []row) {
			at := log.sworn[rng.IntN(len(log.sworn)-1)].Seq
			return fmt.Sprint(at), log.rows[:at]
		}},
		{"roll back", func(rng *rand.Rand, log sound) (string, []row) { // a copy of the file from any moment
			at := rng.IntN(len(log.rows))
			return fmt.Sprint(at), log.rows[:at]
		}},
		{"fork", func(rng *rand.Rand, log sound) (string, []row) { // an old copy, gone on with by a gateway that has the key
			at := rng.IntN(len(log.rows))
			return fmt.Sprint(at), chained(log.rows[:at], events(rng, len(log.rows)-at+rng.IntN(10)), log.mac)
		}},
		{"change and seal", func(rng *rand.Rand, log sound) (string, []row) { // one record with a hash that fits, without the key
			i := rng.IntN(len(log.rows))
			rows := slices.Clone(log.rows)
			rows[i].body = bytes.Replace(rows[i].body, []byte(`"outcome":"ok"`), []byte(`"outcome":"failed"`), 1)
			sum := sha256.Sum256(rows[i].body)
			rows[i].hash = sum[:]
			return fmt.Sprint(i), rows
		}},
		{"rewrite", func(rng *rand.Rand, log sound) (string, []row) { // from any record on, all hashes fit, without the key
			i := rng.IntN(len(log.rows))
			return fmt.Sprint(i), chained(log.rows[:i], events(rng, len(log.rows)-i), randomKey(rng))
		}},
	}
}

func oneBit(rng *rand.Rand, log sound) (string, []row) {
	rows := slices.Clone(log.rows)
	i, field := rng.IntN(len(rows)), rng.IntN(3)
	part := []*[]byte{&rows[i].body, &rows[i].hash, &rows[i].mac}[field]
	bit := rng.IntN(len(*part) * 8)
	*part = bytes.Clone(*part)
	(*part)[bit/8] ^= 1 << (bit % 8)
	return fmt.Sprintf("bit %d of part %d of row %d", bit, field, i), rows
}

// chained goes on after rows with events, as the writer does, sealed with key.
func chained(rows []row, events [][]byte, key []byte) []row {
	rows = slices.Clone(rows)
	tip := link{}
	if len(rows) > 0 {
		last, _ := parseHead(rows[len(rows)-1].body)
		tip = link{last.seq, Digest(rows[len(rows)-1].hash)}
	}
	for _, event := range events {
		body := append(appendHead(nil, head{"node1", tip.seq + 1, tip.hash, time.UnixMilli(1_767_225_600_000)}), event...)
		tip = link{tip.seq + 1, sha256.Sum256(body)}
		mac := newMAC(key)
		mac.Write(tip.hash[:])
		rows = append(rows, row{body, bytes.Clone(tip.hash[:]), mac.Sum(nil)})
	}
	return rows
}

func events(rng *rand.Rand, n int) (list [][]byte) {
	for range n {
		list = append(list, event(rng))
	}
	return list
}

func event(rng *rand.Rand) []byte { return encodeEvent(signIn(1000 + rng.IntN(1_000_000))) }

func randomKey(rng *rand.Rand) []byte {
	key := make([]byte, sha256.Size)
	for i := range key {
		key[i] = byte(rng.Uint32())
	}
	return key
}

// TestEveryRandomMutationIsFound proves T112: ten thousand changes, a thousand of
// each kind, and each is found.
func TestEveryRandomMutationIsFound(t *testing.T) {
	log := soundLog(t)
	if f := walked(log.mac, log.sworn, log.rows); f.total != 0 {
		t.Fatalf("untouched: %v", f.list)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	all := kinds()
	found := 0
	for i := range *mutations {
		kind := all[i%len(all)]
		what, changed := kind.do(rng, log)
		if f := walked(log.mac, log.sworn, changed); f.total == 0 {
			t.Errorf("%s, %s: not found", kind.name, what)
			continue
		}
		found++
	}
	if found != *mutations {
		t.Errorf("%d of %d found", found, *mutations)
	}
	// The maker of chains can make one that nothing is wrong with: what is found above is not its clumsiness.
	known := len(log.sworn) - 1
	honest := chained(log.rows[:log.sworn[known-1].Seq], events(rng, 5), log.mac)
	if f := walked(log.mac, log.sworn[:known], honest); f.total != 0 {
		t.Errorf("a chain that goes on after the last checkpoint known: %v", f.list)
	}
}

// soundLog is a log of two runs of a gateway, with checkpoints in between.
func soundLog(t *testing.T) sound {
	t.Helper()
	c, _ := written(t, 30)
	more := open(t, c)
	appendMany(t, more, 30)
	if err := more.Close(); err != nil {
		t.Fatal(err)
	}
	keys, err := deriveKeys(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	log := sound{rows: rowsOf(t, c.Dir), sworn: anchored(t, c), mac: keys.mac}
	if len(log.rows) != 60 || len(log.sworn) < 3 || log.sworn[len(log.sworn)-1].Seq != 60 {
		t.Fatalf("%d rows, checkpoints %v", len(log.rows), log.sworn)
	}
	return log
}
