package audit

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// csvColumns are the members of a record's line, in its order.
var csvColumns = [...]string{
	"replica", "seq", "at", "action", "outcome", "reason", "actor", "on_behalf_of", "target", "door",
	"data_centre", "source", "user_agent", "request_id", "before", "after", "detail", "hash",
}

// CSVWriter writes records as comma-separated values for spreadsheets. It is
// for reading: only JSON lines can be verified.
type CSVWriter struct{ w *csv.Writer }

// NewCSVWriter writes the header line, with the byte order mark that makes
// Excel read UTF-8.
func NewCSVWriter(w io.Writer) (*CSVWriter, error) {
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return nil, fmt.Errorf("audit: write csv: %w", err)
	}
	c := &CSVWriter{w: csv.NewWriter(w)}
	c.w.UseCRLF = true
	if err := c.w.Write(csvColumns[:]); err != nil {
		return nil, fmt.Errorf("audit: write csv: %w", err)
	}
	return c, nil
}

// Write writes one record.
func (c *CSVWriter) Write(r Record) error {
	detail := ""
	if len(r.Detail) > 0 {
		detail = string(appendDetail(nil, r.Detail))
	}
	cells := []string{
		r.Replica, strconv.FormatUint(r.Seq, 10), stamp(r.At), string(r.Action), string(r.Outcome), r.Reason,
		r.Actor, r.OnBehalfOf, r.Target, r.Door, r.DataCentre, r.Source, r.UserAgent, r.RequestID,
		r.Before, r.After, detail, r.Hash.String(),
	}
	for i := range cells {
		cells[i] = SafeCell(cells[i])
	}
	if err := c.w.Write(cells); err != nil {
		return fmt.Errorf("audit: write csv: %w", err)
	}
	return nil
}

// Flush writes what is buffered.
func (c *CSVWriter) Flush() error {
	c.w.Flush()
	if err := c.w.Error(); err != nil {
		return fmt.Errorf("audit: write csv: %w", err)
	}
	return nil
}

// SafeCell keeps a spreadsheet from running a text: characters that do something
// are escaped as in a line, and what would begin a formula, also in its full
// width form, gets an apostrophe.
func SafeCell(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r >= 0x20 && r < 0x7f || r > 0x7f && harmless(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	safe := b.String()
	if strings.IndexFunc(safe, func(r rune) bool { return strings.ContainsRune("=+-@＝＋－＠\\", r) }) == 0 {
		return "'" + safe
	}
	return safe
}
