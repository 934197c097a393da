package mapping

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"kdgate/identity"
)

// Bounds of an import file (T25).
const (
	MaxCSVBytes = 10 << 20
	MaxCSVRows  = 100_000
)

// The columns of an import file, in any order, named in its first line:
//
//	corp, userid, data_centre   whose row it is; all three are required
//	staff_number, login_user    the Kingdee side; a new row needs one of them
//	owner                       auto, manual (default for new rows) or locked
//	note                        one line of text
//
// A cell that is empty, or a column that is absent, leaves the field as it is.
// An export also writes status, shared, privileged, version, changed_by and
// changed_at; an import accepts these columns and applies none of them (T23,
// T104). UTF-8, with or without a byte-order mark; lines end in LF or CRLF.
//
// A cell that a spreadsheet would execute (it starts with = + - @, TAB, CR, LF
// or a full-width form of these) is refused as it stands. An export puts an
// apostrophe before such a text, and before one that starts with an apostrophe;
// an import takes that apostrophe away again, so the round trip is exact (T103).
var (
	importColumns  = []string{"corp", "userid", "data_centre", "staff_number", "login_user", "owner", "note"}
	keyColumns     = importColumns[:3]
	ignoredColumns = []string{"status", "shared", "privileged", "version", "changed_by", "changed_at"}
)

// ReasonColumns is a line with more or fewer cells than the header.
const ReasonColumns Reason = "columns"

// SheetRow is one line of an import file.
type SheetRow struct {
	Line        int // as an editor counts, the header is 1
	Key         Key
	StaffNumber string
	LoginUser   string
	Owner       Owner
	Note        string
	Refusal     *Refusal // why the line cannot be used by itself, nil when it can
}

// Sheet is a parsed import file.
type Sheet struct{ Rows []SheetRow }

// ParseCSV reads an import file. A file that is no such table at all is an
// identity.Invalid error; what is wrong with a single line is said in its row.
func ParseCSV(r io.Reader) (*Sheet, error) {
	limited := &io.LimitedReader{R: r, N: MaxCSVBytes + 1}
	reader := csv.NewReader(skipBOM(bufio.NewReader(limited)))
	reader.ReuseRecord = true
	columns, err := readHeader(reader)
	if err != nil {
		return nil, oversize(limited, err)
	}
	sheet := &Sheet{}
	for {
		cells, err := reader.Read()
		switch {
		case limited.N <= 0:
			return nil, oversize(limited, nil)
		case errors.Is(err, io.EOF):
			return sheet, nil
		case err != nil && !errors.Is(err, csv.ErrFieldCount):
			return nil, badFile(ReasonFormat, err.Error())
		case len(sheet.Rows) == MaxCSVRows:
			return nil, badFile(ReasonTooLong, fmt.Sprintf("more than %d rows", MaxCSVRows))
		}
		line, _ := reader.FieldPos(0)
		row, textual := parseRow(line, columns, cells, err != nil)
		if !textual {
			return nil, badFile(ReasonNotText, fmt.Sprintf("line %d is not UTF-8: save the file as CSV UTF-8, or as XLSX", line))
		}
		sheet.Rows = append(sheet.Rows, row)
	}
}

func badFile(reason Reason, detail string) error {
	return refuse(identity.Invalid, "file", reason, detail)
}

func oversize(limited *io.LimitedReader, err error) error {
	if limited.N <= 0 {
		return badFile(ReasonTooLong, fmt.Sprintf("more than %d bytes", MaxCSVBytes))
	}
	return err
}

func skipBOM(r *bufio.Reader) *bufio.Reader {
	if mark, _ := r.Peek(3); string(mark) == "\ufeff" {
		_, _ = r.Discard(3) // what was peeked is there
	}
	return r
}

// readHeader checks the names of the columns and returns them in file order.
func readHeader(r *csv.Reader) ([]string, error) {
	header, err := r.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, badFile(ReasonEmpty, "there is no header line")
	case err != nil:
		return nil, badFile(ReasonFormat, err.Error())
	}
	return checkColumns(slices.Clone(header))
}

// checkColumns holds the header's names to those that an import file has.
func checkColumns(columns []string) ([]string, error) {
	for i, name := range columns {
		if !slices.Contains(importColumns, name) && !slices.Contains(ignoredColumns, name) {
			return nil, badFile(ReasonColumns, fmt.Sprintf("unknown column %.64q", name))
		}
		if slices.Contains(columns[:i], name) {
			return nil, badFile(ReasonDuplicate, fmt.Sprintf("column %q twice", name))
		}
	}
	for _, name := range keyColumns {
		if !slices.Contains(columns, name) {
			return nil, badFile(ReasonColumns, fmt.Sprintf("column %q is missing", name))
		}
	}
	return columns, nil
}

// parseRow reads one line; textual is false when it is not UTF-8, which nearly
// always means that the whole file is in another encoding.
func parseRow(line int, columns, cells []string, miscounted bool) (row SheetRow, textual bool) {
	row.Line = line
	for i, cell := range cells {
		if !utf8.ValidString(cell) {
			return row, false
		}
		if i < len(columns) {
			row.take(columns[i], cell)
		}
	}
	if miscounted {
		row.Refusal = &Refusal{Reason: ReasonColumns, Detail: fmt.Sprintf("%d cells, %d wanted", len(cells), len(columns))}
	}
	if row.Refusal == nil {
		row.Refusal = RefusalOf(row.check())
	}
	return row, true
}

// take puts a cell into its field.
func (row *SheetRow) take(column, cell string) {
	if slices.Contains(ignoredColumns, column) {
		return
	}
	text, ok := bare(cell)
	if !ok && row.Refusal == nil {
		row.Refusal = &Refusal{Field: column, Reason: ReasonFormula}
	}
	switch column {
	case "corp":
		row.Key.Corp = text
	case "userid":
		row.Key.UserID = text
	case "data_centre":
		row.Key.DataCentre = text
	case "staff_number":
		row.StaffNumber = text
	case "login_user":
		row.LoginUser = text
	case "owner":
		row.Owner = Owner(text)
	case "note":
		row.Note = text
	}
}

// check holds a line to what can be said without the table.
func (row *SheetRow) check() error {
	if err := checkKey(row.Key); err != nil {
		return err
	}
	if row.Owner != "" && !row.Owner.known() {
		return invalid("owner", ReasonOwner)
	}
	return checkTexts(row.StaffNumber, row.LoginUser, row.Note)
}

// executes reports a text that a spreadsheet would take for a formula (T103).
func executes(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", r)
}

// inert makes a text harmless in a spreadsheet; bare is its inverse.
func inert(s string) string {
	if executes(s) || strings.HasPrefix(s, "'") {
		return "'" + s
	}
	return s
}

// bare takes the apostrophe of inert away; false for a cell that would execute.
func bare(cell string) (string, bool) {
	if executes(cell) {
		return cell, false
	}
	if rest, quoted := strings.CutPrefix(cell, "'"); quoted && (executes(rest) || strings.HasPrefix(rest, "'")) {
		return rest, true
	}
	return cell, true
}
