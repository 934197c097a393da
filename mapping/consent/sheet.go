package consent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// columns of the file, in the order of an export. An import needs userid and
// state; the others may be left out.
var columns = []string{"corp", "userid", "state", "version", "at", "note", "way", "by", "noted"}

const (
	maxSheet  = 32 << 20 // bytes
	maxRows   = 200_000
	maxFaults = 200 // that a report names
)

// Fault is a line that is wrong.
type Fault struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// Report is what an import came to, or would.
type Report struct {
	Rows    int     `json:"rows"`
	Changed int     `json:"changed"`
	Same    int     `json:"same"`
	Faults  []Fault `json:"faults,omitempty"` // with any, nothing is written
	Digest  string  `json:"digest"`           // SHA-256 of the file
	Dry     bool    `json:"dry"`
}

// Usual is what a line takes that leaves a column out.
type Usual struct {
	Corp    string
	Version string // the one in force
}

// line is one line of a file.
type line struct {
	n    int
	who  identity.Subject
	word Word
}

// Import reads a CSV file of an HR process and writes all of its lines, or none
// when one is wrong. One record names the run, its digest and its counts, and one
// more each withdrawal; each row keeps who brought it. A dry run only reports.
func (g *Register) Import(ctx context.Context, by Actor, file io.Reader, usual Usual, dry bool) (Report, error) {
	text, err := io.ReadAll(io.LimitReader(file, maxSheet+1))
	if err != nil {
		return Report{}, refused("the file: %w", err)
	}
	if len(text) > maxSheet {
		return Report{}, refused("the file is longer than %d bytes", maxSheet)
	}
	sum := sha256.Sum256(text)
	report := Report{Digest: hex.EncodeToString(sum[:]), Dry: dry}
	lines, faults, err := parse(text, usual, g.cfg.Now().UTC())
	if err != nil {
		return report, err
	}
	report.Rows, report.Faults = len(lines)+len(faults), faults[:min(len(faults), maxFaults)]
	if len(faults) > 0 {
		return report, nil
	}
	rows, err := g.changes(ctx, by, lines, &report)
	if err != nil || dry || len(rows) == 0 {
		return report, err
	}
	err = g.cfg.Recorder.Append(ctx, audit.Event{
		Action: ActionImport, Outcome: audit.OK, Actor: by.Name, Door: by.Door, Source: by.Source, RequestID: by.RequestID,
		Detail: map[string]string{"rows": strconv.Itoa(report.Rows), "changed": strconv.Itoa(report.Changed), "digest": report.Digest},
	})
	if err == nil {
		err = g.recordWithdrawals(ctx, by, rows)
	}
	if err != nil {
		return report, err
	}
	return report, g.writeAll(ctx, rows)
}

// recordsAtOnce is how many records are under way together: they share the log's
// commits.
const recordsAtOnce = 64

// recordWithdrawals records what no failover may forget, see Reassert.
func (g *Register) recordWithdrawals(ctx context.Context, by Actor, rows []Row) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(recordsAtOnce)
	for _, row := range rows {
		if row.State == Withdrawn {
			group.Go(func() error { return g.cfg.Recorder.Append(ctx, by.event(row.Subject(), row.Word)) })
		}
	}
	return group.Wait()
}

// changes are the rows that the lines make, without those that say nothing new.
func (g *Register) changes(ctx context.Context, by Actor, lines []line, report *Report) ([]Row, error) {
	now := g.cfg.Now().UTC()
	var rows []Row
	for _, l := range lines {
		row, there, err := g.Of(ctx, l.who)
		if err != nil {
			return nil, err
		}
		if there && row.State == l.word.State && row.Version == l.word.Version {
			report.Same++
			continue
		}
		l.word.Noted, l.word.By, l.word.Digest = now, by.Name, report.Digest
		rows = append(rows, row.with(l.word))
		report.Changed++
	}
	return rows, nil
}

// writeAll commits as many rows at once as the store takes. Withdrawals go
// first, so that a crash in between leaves no consent that was taken back; the
// same file again writes what is missing.
func (g *Register) writeAll(ctx context.Context, rows []Row) error {
	var ops []store.Op
	var told []identity.Subject
	flush := func() error {
		if len(ops) == 0 {
			return nil
		}
		if err := g.cfg.Store.Commit(ctx, ops...); err != nil {
			return down(err)
		}
		for _, who := range told {
			g.tell(ctx, who)
		}
		ops, told = nil, nil
		return nil
	}
	for _, state := range [...]State{Withdrawn, Given} {
		for _, row := range rows {
			if row.State != state {
				continue
			}
			op, err := row.op()
			if err != nil {
				return err
			}
			if ops, told = append(ops, op), append(told, row.Subject()); len(ops) == store.MaxOps {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// parse reads a file. What is wrong with a line is a Fault; what is wrong with
// the file is an error.
func parse(text []byte, usual Usual, now time.Time) ([]line, []Fault, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if !utf8.Valid(text) {
		return nil, nil, refused("the file is not UTF-8")
	}
	reader := csv.NewReader(bytes.NewReader(text))
	reader.FieldsPerRecord = -1
	head, err := reader.Read()
	if err != nil {
		return nil, nil, refused("the file has no header line: %w", err)
	}
	at, err := places(head)
	if err != nil {
		return nil, nil, err
	}
	var lines []line
	var faults []Fault
	seen := map[identity.Subject]int{}
	for n := 2; ; n++ {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return lines, faults, nil
		}
		if err != nil {
			return nil, nil, refused("line %d: %w", n, err)
		}
		if n > maxRows {
			return nil, nil, refused("more than %d lines", maxRows)
		}
		one, err := lineOf(record, at, usual, now)
		one.n = n
		if first, twice := seen[one.who]; err == nil && twice {
			err = fmt.Errorf("%s stands in line %d already", one.who.UserID, first)
		}
		if err != nil {
			faults = append(faults, Fault{n, strings.TrimPrefix(err.Error(), "consent: ")})
			continue
		}
		seen[one.who] = n
		lines = append(lines, one)
	}
}

// places are the columns of a header by name.
func places(head []string) (map[string]int, error) {
	at := map[string]int{}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := at[name]; twice {
			return nil, refused("the column %q is there twice", name)
		}
		at[name] = i
	}
	for name := range at {
		if !slices.Contains(columns, name) {
			return nil, refused("no column is named %q; there are %s", name, strings.Join(columns, ", "))
		}
	}
	for _, name := range []string{"userid", "state"} {
		if _, there := at[name]; !there {
			return nil, refused("the column %q is missing", name)
		}
	}
	return at, nil
}

func lineOf(record []string, at map[string]int, usual Usual, now time.Time) (line, error) {
	cell := func(name, without string) string {
		if i, there := at[name]; there && i < len(record) && strings.TrimSpace(record[i]) != "" {
			return bare(strings.TrimSpace(record[i]))
		}
		return without
	}
	one := line{
		who: identity.Subject{Corp: cell("corp", usual.Corp), UserID: cell("userid", "")},
		word: Word{
			State: State(cell("state", "")), Version: cell("version", usual.Version), Note: cell("note", ""), Way: Import, At: now,
		},
	}
	if text := cell("at", ""); text != "" {
		when, err := timeOf(text)
		if err != nil {
			return one, err
		}
		one.word.At = when
	}
	return one, one.word.check(one.who, now)
}

// timeOf reads a time with its zone, or a day in UTC+8.
func timeOf(text string) (time.Time, error) {
	if when, err := time.Parse(time.RFC3339, text); err == nil {
		return when.UTC(), nil
	}
	day, err := time.ParseInLocation(time.DateOnly, text, time.FixedZone("UTC+8", 8*60*60))
	if err != nil {
		return time.Time{}, refused("%q is neither a day such as 2026-03-01 nor a time such as 2026-03-01T08:00:00+08:00", text)
	}
	return day.UTC(), nil
}

// Export writes the rows that fit as CSV, which a spreadsheet cannot execute and
// Import reads again. It is on record before the first line leaves.
func (g *Register) Export(ctx context.Context, by Actor, w io.Writer, f Filter) error {
	err := g.cfg.Recorder.Append(ctx, audit.Event{
		Action: ActionExport, Outcome: audit.OK, Actor: by.Name, Door: by.Door, Source: by.Source, RequestID: by.RequestID,
		Detail: map[string]string{"state": string(f.State), "way": string(f.Way), "text": f.Text},
	})
	if err != nil {
		return err
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(columns); err != nil {
		return fmt.Errorf("consent: export: %w", err)
	}
	err = g.each(ctx, f, func(r Row) error {
		return out.Write([]string{
			inert(r.Corp), inert(r.UserID), string(r.State), inert(r.Version), r.At.Format(time.RFC3339), inert(r.Note), string(r.Way), inert(r.By), r.Noted.Format(time.RFC3339),
		})
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

// inert makes a text harmless in a spreadsheet (T103); bare is its inverse.
func inert(s string) string {
	r, _ := utf8.DecodeRuneInString(s)
	if s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠'", r) {
		return "'" + s
	}
	return s
}

func bare(s string) string {
	if rest, quoted := strings.CutPrefix(s, "'"); quoted && inert(rest) != rest {
		return rest
	}
	return s
}
