package mapping

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// Progress hears how far long work is. It is called from one goroutine and must
// not block; total is zero while it is not known.
type Progress func(done, total int)

func (p Progress) tell(done, total int) {
	if p != nil {
		p(done, total)
	}
}

// ExportCSV writes the rows that match as a file that ParseCSV reads back and
// that no spreadsheet executes (T103). The export is recorded first.
func (t *Table) ExportCSV(ctx context.Context, by Actor, w io.Writer, f Filter, p Progress) error {
	if err := t.recordExport(ctx, by, f, "csv"); err != nil {
		return err
	}
	// The byte-order mark makes spreadsheets read UTF-8.
	if _, err := io.WriteString(w, "\ufeff"); err != nil {
		return fmt.Errorf("mapping: export: %w", err)
	}
	out := csv.NewWriter(w)
	out.UseCRLF = true // RFC 4180
	err := t.exportRows(ctx, f, p, out.Write)
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	if err != nil && identity.CodeOf(err) == "" {
		return fmt.Errorf("mapping: export: %w", err)
	}
	return err
}

func (t *Table) recordExport(ctx context.Context, by Actor, f Filter, format string) error {
	return t.record(ctx, []audit.Event{{
		Action: audit.ActionMappingExport, Outcome: audit.OK, Actor: by.Name,
		DataCentre: f.DataCentre, Source: by.Source, RequestID: by.RequestID, Detail: map[string]string{"format": format},
	}})
}

// exportRows gives write the header and then every row that matches.
func (t *Table) exportRows(ctx context.Context, f Filter, p Progress, write func([]string) error) error {
	if err := write(slices.Concat(importColumns, ignoredColumns)); err != nil {
		return err
	}
	done := 0
	return eachPage(ctx, t.cfg.Store, f.prefix(), func(stored store.Entry) error {
		e, err := decodeRow(stored)
		if err != nil || !f.matches(e) {
			return err
		}
		done++
		p.tell(done, 0)
		return write(exportLine(e))
	})
}

// exportLine follows importColumns and ignoredColumns.
func exportLine(e *Entry) []string {
	line := []string{
		e.Corp, e.UserID, e.DataCentre, e.StaffNumber, e.LoginUser, string(e.Owner), e.Note,
		string(e.Status), strconv.FormatBool(e.Shared), strconv.FormatBool(e.Privileged),
		strconv.FormatUint(e.Version, 10), e.Changed.By, e.Changed.At.Format(time.RFC3339),
	}
	for i, cell := range line {
		line[i] = inert(cell)
	}
	return line
}
