package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Digest is a SHA-256 hash or an HMAC-SHA-256, 32 bytes.
type Digest [32]byte

// String is the digest in lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Record is an event that is in the log.
type Record struct {
	Event
	ID       uint64    // place in this file, growing; the cursor of Search and Follow, not part of the chain
	Replica  string    // the gateway that wrote it
	Seq      uint64    // place in that replica's chain, from 1 without a gap
	At       time.Time // UTC, whole milliseconds
	PrevHash Digest    // hash of the record before, zero for the first
	Hash     Digest    // SHA-256 of the body, see docs/audit-format.md
	MAC      Digest    // HMAC-SHA-256 of Hash

	body []byte // the exact text that was hashed
}

// errNotRecord is a body that is not in the form of docs/audit-format.md.
var errNotRecord = errors.New("audit: not a record")

// wire is the body as JSON; the order of members is fixed by encode.go.
type wire struct {
	V          int               `json:"v"`
	Replica    string            `json:"replica"`
	Seq        uint64            `json:"seq"`
	Prev       string            `json:"prev"`
	At         time.Time         `json:"at"`
	Action     Action            `json:"action"`
	Outcome    Outcome           `json:"outcome"`
	Reason     string            `json:"reason"`
	Actor      string            `json:"actor"`
	OnBehalfOf string            `json:"on_behalf_of"`
	Target     string            `json:"target"`
	Door       string            `json:"door"`
	DataCentre string            `json:"data_centre"`
	Source     string            `json:"source"`
	UserAgent  string            `json:"user_agent"`
	RequestID  string            `json:"request_id"`
	Before     string            `json:"before"`
	After      string            `json:"after"`
	Detail     map[string]string `json:"detail"`
}

// decodeRecord reads a stored row. It checks the form, not the chain: that is Verify's.
func decodeRecord(id uint64, body, hash, mac []byte) (Record, error) {
	var w wire
	if err := json.Unmarshal(body, &w); err != nil {
		return Record{}, fmt.Errorf("%w: row %d: %w", errNotRecord, id, err)
	}
	r := Record{ID: id, Replica: w.Replica, Seq: w.Seq, At: w.At.UTC(), body: bytes.Clone(body)}
	prev, err := hex.DecodeString(w.Prev)
	if err != nil || !fill(&r.PrevHash, prev) || !fill(&r.Hash, hash) || !fill(&r.MAC, mac) {
		return Record{}, fmt.Errorf("%w: row %d: a digest is not 32 bytes", errNotRecord, id)
	}
	r.Event = Event{
		Action: w.Action, Outcome: w.Outcome, Reason: w.Reason,
		Actor: w.Actor, OnBehalfOf: w.OnBehalfOf, Target: w.Target,
		Door: w.Door, DataCentre: w.DataCentre, Source: w.Source, UserAgent: w.UserAgent,
		RequestID: w.RequestID, Before: w.Before, After: w.After, Detail: w.Detail,
	}
	return r, nil
}

func fill(d *Digest, from []byte) bool { return copy(d[:], from) == len(d) && len(from) == len(d) }

// Intact reports whether the record's text still gives its hash. That the record
// follows the one before it, and that the key wrote it, is Verify's to say.
func (r Record) Intact() bool { return len(r.body) > 0 && r.Hash == sha256.Sum256(r.body) }

// AppendLine appends the record's line without a newline: the body exactly as
// it was hashed, with hash and mac as its last two members.
func (r Record) AppendLine(dst []byte) []byte {
	if len(r.body) == 0 {
		return append(dst, "{}"...)
	}
	return appendLine(dst, r.body, r.Hash[:], r.MAC[:])
}

// appendLine appends the line of a record that is kept as body, an object, and
// its two sums.
func appendLine(dst, body, hash, mac []byte) []byte {
	dst = slices.Grow(dst, len(body)+2*len(hash)+2*len(mac)+len(`,"hash":"","mac":""`))
	dst = append(dst, bytes.TrimSuffix(body, []byte{'}'})...)
	dst = append(dst, `,"hash":"`...)
	dst = hex.AppendEncode(dst, hash)
	dst = append(dst, `","mac":"`...)
	dst = hex.AppendEncode(dst, mac)
	return append(dst, `"}`...)
}

// MarshalJSON is AppendLine. The writer escapes what encoding/json would
// escape, so the bytes that were hashed survive it.
func (r Record) MarshalJSON() ([]byte, error) { return r.AppendLine(nil), nil }

// WriteLine writes the record's line and a newline in one Write.
func (r Record) WriteLine(w io.Writer) error {
	if _, err := w.Write(append(r.AppendLine(nil), '\n')); err != nil {
		return fmt.Errorf("audit: write line: %w", err)
	}
	return nil
}
