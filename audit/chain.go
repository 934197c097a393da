package audit

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"time"
)

// checker walks records in the order of the file and holds each against its
// own hash, its MAC, the record before it and the checkpoints. It allocates
// nothing for a record that is well.
type checker struct {
	mac    hash.Hash // nil: no key, MACs are not checked
	midway bool      // the walk begins in the middle of a chain: the first record's links are taken on trust
	chains map[string]*chain
	faults faults
	count  uint64
	sum    []byte // scratch
}

// chain is what is known of one replica's chain.
type chain struct {
	replica         string
	first, tip      link
	firstAt, lastAt string
	start           link   // what the first record follows: zero, or what retention removed
	sworn           []oath // checkpoints, by growing seq once the walk begins; those behind it are cut off
	newest          oath   // the checkpoint with the highest seq, zero without any
	begun           bool
	stepsBack       uint64 // records whose time is before the one before: the clock was set back
}

// oath is a checkpoint as it is kept: half a year of one a minute fits in 13 MB.
type oath struct {
	link
	at int64 // milliseconds since 1970
}

func (o oath) stamp() string { return stamp(time.UnixMilli(o.at)) }

func newChecker(macKey []byte) *checker {
	c := &checker{chains: map[string]*chain{}}
	if macKey != nil {
		c.mac = newMAC(macKey)
	}
	return c
}

// chainOf finds or begins the chain of a replica.
func (c *checker) chainOf(replica string) *chain {
	ch, ok := c.chains[replica]
	if !ok {
		ch = &chain{replica: replica}
		c.chains[replica] = ch
	}
	return ch
}

// swear adds checkpoints to hold records against; settle them before the walk.
func (c *checker) swear(lines []signedLine) {
	for _, line := range lines {
		ch := c.chainOf(line.Replica)
		ch.sworn = append(ch.sworn, oath{link{line.Seq, line.Hash}, line.At.UnixMilli()})
	}
}

// settle puts the checkpoints in the order of the walk.
func (c *checker) settle() {
	for _, ch := range c.chains {
		slices.SortStableFunc(ch.sworn, func(a, b oath) int { return cmp.Compare(a.seq, b.seq) })
		if n := len(ch.sworn); n > 0 {
			ch.newest = ch.sworn[n-1]
		}
	}
}

// rows walks (body, hash, mac) rows and closes them.
func (c *checker) rows(rows *sql.Rows) error {
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	var body, sum, mac sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&body, &sum, &mac); err != nil {
			return fmt.Errorf("audit: read: %w", err)
		}
		c.record(body, sum, mac)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("audit: read: %w", err)
	}
	return nil
}

// record takes one step.
func (c *checker) record(body, sum, mac []byte) {
	c.count++
	h, ok := parseHead(body)
	if !ok {
		c.faults.add(Fault{Kind: FaultForm, Words: fmt.Sprintf("row %d of the walk is not a record", c.count)})
		return
	}
	ch, known := c.chains[string(h.replica)]
	if !known {
		ch = c.chainOf(string(h.replica))
	}
	if !c.place(ch, h) {
		return
	}
	c.contents(ch, h.seq, body, sum, mac)
	ch.follow(h, sum)
	c.oaths(ch)
}

// place holds a record's number and link against the one before. It is false
// for a record that stands where it cannot: the walk goes on as if it were not there.
func (c *checker) place(ch *chain, h bodyHead) bool {
	if !ch.begun {
		ch.tip = ch.start
		if c.midway {
			ch.tip = link{h.seq - 1, h.prev}
		}
	}
	switch {
	case h.seq <= ch.tip.seq:
		c.faults.add(Fault{FaultOrder, ch.replica, h.seq, "stands after record " + strconv.FormatUint(ch.tip.seq, 10) + ": inserted, doubled or moved"})
		return false
	case h.seq > ch.tip.seq+1:
		c.faults.add(Fault{
			FaultMissing, ch.replica, ch.tip.seq + 1,
			fmt.Sprintf("missing: record %d is followed by %d", ch.tip.seq, h.seq),
		})
	case h.prev != ch.tip.hash:
		c.faults.add(Fault{FaultChain, ch.replica, h.seq, "does not follow the record before it: one of the two was replaced"})
	}
	return true
}

// contents holds a record against its own hash and MAC.
func (c *checker) contents(ch *chain, seq uint64, body, sum, mac []byte) {
	if computed := sha256.Sum256(body); !bytes.Equal(computed[:], sum) {
		c.faults.add(Fault{FaultHash, ch.replica, seq, "was changed: its text does not give its hash"})
	}
	if c.mac == nil {
		if len(mac) != sha256.Size {
			c.faults.add(Fault{FaultMAC, ch.replica, seq, "has no MAC of 32 bytes"})
		}
		return
	}
	c.mac.Reset()
	c.mac.Write(sum)
	c.sum = c.mac.Sum(c.sum[:0])
	if !hmac.Equal(c.sum, mac) {
		c.faults.add(Fault{FaultMAC, ch.replica, seq, "was not written with this key: its MAC does not verify"})
	}
}

func (ch *chain) follow(h bodyHead, sum []byte) {
	ch.tip.seq = h.seq
	if !fill(&ch.tip.hash, sum) {
		ch.tip.hash = Digest{}
	}
	if !ch.begun {
		ch.begun, ch.first, ch.firstAt = true, ch.tip, string(h.at)
	}
	if string(h.at) < ch.lastAt {
		ch.stepsBack++
	}
	if string(h.at) != ch.lastAt {
		ch.lastAt = string(h.at)
	}
}

// oaths holds the record just passed against the checkpoints that name it.
func (c *checker) oaths(ch *chain) {
	for len(ch.sworn) > 0 && ch.sworn[0].seq <= ch.tip.seq {
		if ch.sworn[0].seq == ch.tip.seq && ch.sworn[0].hash != ch.tip.hash {
			c.faults.add(Fault{
				FaultCheckpoint, ch.replica, ch.tip.seq,
				"is not the record that the checkpoint of " + ch.sworn[0].stamp() + " names: the log was rewritten or forked",
			})
		}
		ch.sworn = ch.sworn[1:]
	}
}

// end looks for what the file lacks at its end.
func (c *checker) end() {
	for _, ch := range c.chains {
		if !ch.begun {
			ch.tip = ch.start
		}
		if ch.newest.seq > ch.tip.seq {
			c.faults.add(Fault{FaultTruncated, ch.replica, ch.tip.seq + 1, fmt.Sprintf(
				"missing at the end: the checkpoint of %s names record %d, the file ends at %d (cut off, or an older copy)",
				ch.newest.stamp(), ch.newest.seq, ch.tip.seq)})
		}
	}
}

// bodyHead is the fixed beginning of a body. Its slices point into the body.
type bodyHead struct {
	replica []byte
	seq     uint64
	prev    Digest
	at      []byte
}

// parseHead reads what appendHead writes and nothing looser: the same head has
// one form only.
func parseHead(body []byte) (h bodyHead, ok bool) {
	rest, ok := bytes.CutPrefix(body, []byte(`{"v":1,"replica":"`))
	if !ok {
		return h, false
	}
	if h.replica, rest, ok = bytes.Cut(rest, []byte(`","seq":`)); !ok || len(h.replica) == 0 || len(h.replica) > maxShort {
		return h, false
	}
	digits, rest, ok := bytes.Cut(rest, []byte(`,"prev":"`))
	if !ok || !parseSeq(digits, &h.seq) {
		return h, false
	}
	const prev, at = 2 * len(Digest{}), len(timeForm)
	if len(rest) < prev+8+at+1 || string(rest[prev:prev+8]) != `","at":"` || rest[prev+8+at] != '"' {
		return h, false
	}
	if _, err := hex.Decode(h.prev[:], rest[:prev]); err != nil {
		return h, false
	}
	h.at = rest[prev+8 : prev+8+at]
	return h, body[len(body)-1] == '}'
}

// parseSeq reads a number from 1 without sign or leading zero.
func parseSeq(digits []byte, seq *uint64) bool {
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' {
		return false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return false
		}
		*seq = *seq*10 + uint64(d-'0')
	}
	return true
}
