package audit

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrFault is wrapped by the error of a Verify that found something. A program
// exits with 3 on it.
var ErrFault = errors.New("audit: the log does not verify")

// FaultKind sorts faults for programs.
type FaultKind string

// The kinds of fault.
const (
	FaultForm       FaultKind = "form"       // a row is not a record
	FaultHash       FaultKind = "hash"       // a record's text was changed
	FaultMAC        FaultKind = "mac"        // a record was not written with the key
	FaultChain      FaultKind = "chain"      // a record does not follow the one before it
	FaultOrder      FaultKind = "order"      // inserted, doubled or moved
	FaultMissing    FaultKind = "missing"    // deleted from the middle or the start
	FaultTruncated  FaultKind = "truncated"  // deleted from the end, or an older copy
	FaultCheckpoint FaultKind = "checkpoint" // a record is not the one that was sworn to
	FaultSignature  FaultKind = "signature"  // a checkpoint or trim is not signed by the key
	FaultAnchor     FaultKind = "anchor"     // a line of the anchor is not a checkpoint
	FaultFile       FaultKind = "file"       // the file itself: damaged pages, indexes or layout
)

// Fault is one thing found.
type Fault struct {
	Kind    FaultKind `json:"kind"`
	Replica string    `json:"replica,omitempty"`
	Seq     uint64    `json:"seq,omitempty"` // record it is about, zero when it is about no single one
	Words   string    `json:"words"`
}

// String is the fault in a sentence.
func (f Fault) String() string {
	switch {
	case f.Replica == "":
		return f.Words
	case f.Seq == 0:
		return f.Replica + ": " + f.Words
	default:
		return fmt.Sprintf("record %d of %s %s", f.Seq, f.Replica, f.Words)
	}
}

// maxFaults bounds how many are kept: a wholly rewritten log has one for each record.
const maxFaults = 1000

type faults struct {
	list  []Fault
	total uint64
}

func (f *faults) add(fault Fault) {
	f.total++
	if len(f.list) < maxFaults {
		f.list = append(f.list, fault)
	}
}

// ChainReport is what was found of one replica's chain.
type ChainReport struct {
	Replica    string `json:"replica"`
	First      uint64 `json:"first"`                // Seq of the first record, zero when there is none
	Last       uint64 `json:"last"`                 // Seq of the last record
	FirstAt    string `json:"first_at,omitempty"`   // its time
	LastAt     string `json:"last_at,omitempty"`    //
	Head       string `json:"head"`                 // hash of the last record, hexadecimal: write it down to compare later
	Trimmed    uint64 `json:"trimmed,omitempty"`    // records up to this one were removed by retention
	Sworn      uint64 `json:"sworn"`                // Seq of the newest checkpoint that was held against it
	SwornAt    string `json:"sworn_at,omitempty"`   // its time
	ClockSteps uint64 `json:"clock_steps,omitzero"` // records older than the one before them: the clock was set back
}

// Report is the result of a Verify.
type Report struct {
	Records     uint64        `json:"records"`
	Checkpoints int           `json:"checkpoints"`
	Chains      []ChainReport `json:"chains"`
	Checked     []string      `json:"checked"`    // what was done
	NotProven   []string      `json:"not_proven"` // what this run could not show, and why
	Notes       []string      `json:"notes,omitempty"`
	Faults      []Fault       `json:"faults"` // the first 1,000
	FaultCount  uint64        `json:"fault_count"`
	Took        time.Duration `json:"took_ns"`
}

// Err wraps ErrFault when there are faults.
func (r Report) Err() error {
	if r.FaultCount == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d faults, the first: %s", ErrFault, r.FaultCount, r.Faults[0])
}

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	p := printer{w: w}
	p.line("%d records in %d chains, %d checkpoints, %s", r.Records, len(r.Chains), r.Checkpoints, r.Took.Round(time.Millisecond))
	for _, c := range r.Chains {
		p.line("  %s: records %d to %d, %s to %s", c.Replica, c.First, c.Last, orNone(c.FirstAt), orNone(c.LastAt))
		p.line("    head %s", c.Head)
	}
	p.list("Checked:", r.Checked)
	p.list("This does not prove:", r.NotProven)
	p.list("Notes:", r.Notes)
	if r.FaultCount == 0 {
		p.line("No fault found.")
		return p.err
	}
	p.line("FAULTS: %d", r.FaultCount)
	for _, f := range r.Faults {
		p.line("  [%s] %s", f.Kind, f)
	}
	if rest := r.FaultCount - uint64(len(r.Faults)); rest > 0 {
		p.line("  and %d more", rest)
	}
	return p.err
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) list(title string, items []string) {
	if len(items) == 0 {
		return
	}
	p.line("%s", title)
	for _, item := range items {
		p.line("  - %s", item)
	}
}
