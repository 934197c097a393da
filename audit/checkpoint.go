package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// The kinds of signed line. The kind is inside what is signed, so one cannot
// be passed off as the other.
const (
	kindCheckpoint = "checkpoint"
	kindTrim       = "trim"
)

// signedLine is a statement about one chain, signed: a checkpoint says "the
// record Seq has this Hash"; a trim says "everything up to and with Seq, whose
// hash was Hash, was removed by retention".
type signedLine struct {
	Kind    string
	Replica string
	Seq     uint64
	Hash    Digest
	At      time.Time
	body    []byte // what is signed
	sig     []byte
}

var (
	errTornLine    = errors.New("audit: a line that was cut short")
	errBadLine     = errors.New("audit: not a checkpoint")
	signatureStart = []byte(`,"sig":"`)
)

// sign gives the line without a newline: the signed body with sig as its last member.
func (s signedLine) sign(key ed25519.PrivateKey) []byte {
	body := []byte(`{"v":1,"kind":"` + s.Kind + `","replica":`)
	body = appendText(body, s.Replica, maxShort)
	body = append(body, `,"seq":`...)
	body = strconv.AppendUint(body, s.Seq, 10)
	body = append(body, `,"hash":"`...)
	body = hex.AppendEncode(body, s.Hash[:])
	body = append(body, `","at":"`...)
	body = s.At.UTC().AppendFormat(body, timeForm)
	body = append(body, `"}`...)
	line := append(bytes.Clone(body[:len(body)-1]), signatureStart...)
	line = hex.AppendEncode(line, ed25519.Sign(key, body))
	return append(line, `"}`...)
}

// parseLine reads a signed line; whether the signature is good is verified's answer.
func parseLine(line []byte) (signedLine, error) {
	var w struct {
		V       int       `json:"v"`
		Kind    string    `json:"kind"`
		Replica string    `json:"replica"`
		Seq     uint64    `json:"seq"`
		Hash    string    `json:"hash"`
		At      time.Time `json:"at"`
		Sig     string    `json:"sig"`
	}
	if err := json.Unmarshal(line, &w); err != nil {
		if cutShort(line) {
			return signedLine{}, errTornLine
		}
		return signedLine{}, fmt.Errorf("%w: %w", errBadLine, err)
	}
	s := signedLine{Kind: w.Kind, Replica: w.Replica, Seq: w.Seq, At: w.At}
	hash, hashErr := hex.DecodeString(w.Hash)
	sig, sigErr := hex.DecodeString(w.Sig)
	at := bytes.LastIndex(line, signatureStart)
	if w.V != 1 || at < 0 || hashErr != nil || sigErr != nil || !fill(&s.Hash, hash) {
		return signedLine{}, errBadLine
	}
	s.body = append(bytes.Clone(line[:at]), '}')
	s.sig = sig
	return s, nil
}

// cutShort reports whether a line is what a crash in the middle of a write
// leaves: JSON that only lacks its end. A changed line is not.
func cutShort(line []byte) bool {
	if bytes.HasSuffix(line, []byte("}")) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	var v any
	return errors.Is(dec.Decode(&v), io.ErrUnexpectedEOF)
}

func (s signedLine) verified(key ed25519.PublicKey) bool {
	return len(s.sig) == ed25519.SignatureSize && ed25519.Verify(key, s.body, s.sig)
}
