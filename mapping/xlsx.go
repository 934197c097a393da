package mapping

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/xuri/excelize/v2"

	"kdgate/identity"
)

// Bounds of what an XLSX file unpacks to: 100,000 rows are about 60 MiB of XML.
// A part larger than maxInMemory is unpacked to a temporary file. Cells may name
// one text again and again, and a row may have thousands of them, so what comes
// of a file is bounded by itself: a cell counts with its text and cellCost.
const (
	maxUnpacked = 256 << 20
	maxInMemory = 16 << 20
	maxCells    = 128 << 20
	cellCost    = 16
	exportSheet = "mapping"
)

// ParseXLSX reads an import file in the format of spreadsheets: its first sheet,
// with the columns and the rules of ParseCSV. Of a formula cell only the value
// that stands in the file counts; nothing is calculated (T25).
func ParseXLSX(r io.Reader) (_ *Sheet, err error) {
	limited := &io.LimitedReader{R: r, N: MaxCSVBytes + 1}
	book, err := excelize.OpenReader(limited, excelize.Options{UnzipSizeLimit: maxUnpacked, UnzipXMLSizeLimit: maxInMemory})
	if err != nil {
		return nil, oversize(limited, badFile(ReasonFormat, "not a readable XLSX file, or too large unpacked"))
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	if limited.N <= 0 {
		return nil, oversize(limited, nil)
	}
	sheets := book.GetSheetList()
	if len(sheets) == 0 {
		return nil, badFile(ReasonEmpty, "no sheet")
	}
	rows, err := book.Rows(sheets[0])
	if err != nil {
		return nil, badFile(ReasonFormat, "the first sheet cannot be read")
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	return readSheet(rows)
}

// ParseSheet reads an import file in either format, told by how it begins: an
// XLSX file is a zip archive.
func ParseSheet(r io.Reader) (*Sheet, error) {
	buffered := bufio.NewReader(r)
	if start, _ := buffered.Peek(len(zipStart)); string(start) == zipStart { // a shorter file is no archive
		return ParseXLSX(buffered)
	}
	return ParseCSV(buffered)
}

const zipStart = "PK\x03\x04"

// readSheet reads the header and then row by row, as they stand in the file.
func readSheet(rows *excelize.Rows) (*Sheet, error) {
	var columns []string
	sheet := &Sheet{}
	left := maxCells
	for line := 1; rows.Next(); line++ {
		cells, err := rows.Columns()
		if err != nil {
			return nil, badFile(ReasonFormat, fmt.Sprintf("row %d cannot be read", line))
		}
		left -= costOf(cells)
		switch {
		case left < 0:
			return nil, badFile(ReasonTooLong, "the cells hold too much")
		case line == 1:
			if columns, err = checkColumns(cells); err != nil {
				return nil, err
			}
			continue
		case blank(cells):
			continue // spreadsheets keep rows that somebody emptied
		case len(sheet.Rows) == MaxCSVRows:
			return nil, badFile(ReasonTooLong, fmt.Sprintf("more than %d rows", MaxCSVRows))
		}
		row, textual := parseRow(line, columns, cells, len(cells) > len(columns)) // cells left empty at the end are not in the file
		if !textual {
			return nil, badFile(ReasonNotText, fmt.Sprintf("row %d is not UTF-8", line))
		}
		sheet.Rows = append(sheet.Rows, row)
	}
	if err := rows.Error(); err != nil {
		return nil, badFile(ReasonFormat, "the first sheet breaks off")
	}
	if columns == nil {
		return nil, badFile(ReasonEmpty, "header")
	}
	return sheet, nil
}

func costOf(cells []string) int {
	cost := len(cells) * cellCost
	for _, cell := range cells {
		cost += len(cell)
	}
	return cost
}

func blank(cells []string) bool {
	for _, cell := range cells {
		if cell != "" {
			return false
		}
	}
	return true
}

// ExportXLSX writes the rows that match as a file that ParseXLSX reads back.
// Every cell is text, and one that would begin a formula is neutralised as in a
// CSV export, for whoever saves it in that format (T103). The export is recorded first.
func (t *Table) ExportXLSX(ctx context.Context, by Actor, w io.Writer, f Filter, p Progress) (err error) {
	if err := t.recordExport(ctx, by, f, "xlsx"); err != nil {
		return err
	}
	book := excelize.NewFile()
	defer func() { err = errors.Join(err, book.Close()) }()
	if err := book.SetSheetName(book.GetSheetName(0), exportSheet); err != nil {
		return fmt.Errorf("mapping: export: %w", err)
	}
	out, err := book.NewStreamWriter(exportSheet)
	if err != nil {
		return fmt.Errorf("mapping: export: %w", err)
	}
	line := 0
	err = t.exportRows(ctx, f, p, func(cells []string) error {
		line++
		values := make([]any, len(cells))
		for i, cell := range cells {
			values[i] = cell
		}
		return out.SetRow(fmt.Sprintf("A%d", line), values)
	})
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		_, err = book.WriteTo(w)
	}
	if err != nil && identity.CodeOf(err) == "" {
		return fmt.Errorf("mapping: export: %w", err)
	}
	return err
}
