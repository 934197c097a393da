package mapping_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"kdgate/identity"
	"kdgate/mapping"
)

// workbook makes an XLSX file of rows.
func workbook(t testing.TB, rows ...[]any) []byte {
	t.Helper()
	book := excelize.NewFile()
	for i, row := range rows {
		cell, err := excelize.CoordinatesToCellName(1, i+1)
		must(t, err)
		must(t, book.SetSheetRow("Sheet1", cell, &row))
	}
	var file bytes.Buffer
	must(t, book.Write(&file))
	must(t, book.Close())
	return file.Bytes()
}

// F22, T25, T103: a file means the same in both formats, and a round trip is exact.
func TestXLSXRoundTrip(t *testing.T) {
	r := newRig(t)
	r.create(mapping.Draft{Key: key("u1"), StaffNumber: "0001", LoginUser: "=SUM(A1)"})
	r.create(mapping.Draft{Key: key("u2"), StaffNumber: "0002", LoginUser: "李四（财务）", Note: "＝cmd, \"x\" 'y'"})
	var file bytes.Buffer
	must(t, r.ExportXLSX(t.Context(), admin, &file, mapping.Filter{}, nil))
	book, err := excelize.OpenReader(bytes.NewReader(file.Bytes()))
	must(t, err)
	for _, cell := range []string{"E2", "G3"} {
		formula, err := book.GetCellFormula("mapping", cell)
		must(t, err)
		if text, _ := book.GetCellValue("mapping", cell); formula != "" || !strings.HasPrefix(text, "'") {
			t.Errorf("%s: %q, formula %q", cell, text, formula)
		}
	}
	must(t, book.Close())
	sheet, err := mapping.ParseXLSX(bytes.NewReader(file.Bytes()))
	must(t, err)
	plan, err := r.Plan(t.Context(), admin, sheet, nil)
	must(t, err)
	if plan.Same != 2 || plan.Create+plan.Change+plan.Refused != 0 {
		t.Errorf("%+v", plan)
	}
}

// T25: what is not such a table is refused as a whole, what is wrong with a row in its row.
func TestParseXLSX(t *testing.T) {
	head := []any{"corp", "userid", "data_centre", "staff_number", "login_user"}
	sheet, err := mapping.ParseXLSX(bytes.NewReader(workbook(t, head,
		[]any{corp, "u1", live, 1001, "one"}, []any{}, []any{corp, "u2", live, "1", "=HYPERLINK(0)"}, []any{corp, "u3", live, "3", "three", "", "", "much"})))
	must(t, err)
	if len(sheet.Rows) != 3 || sheet.Rows[0].StaffNumber != "1001" || sheet.Rows[0].Refusal != nil || sheet.Rows[1].Line != 4 {
		t.Fatalf("%+v", sheet.Rows)
	}
	if r := sheet.Rows[1].Refusal; r == nil || r.Reason != mapping.ReasonFormula {
		t.Errorf("a formula text: %+v", r)
	}
	if r := sheet.Rows[2].Refusal; r == nil || r.Reason != mapping.ReasonColumns {
		t.Errorf("too many cells: %+v", r)
	}
	for name, file := range map[string][]byte{
		"empty": nil, "text": []byte("corp,userid"), "no sheet": zipOf(t, "x", "y"), "unknown column": workbook(t, []any{"corp", "userid", "data_centre", "role"}),
		"no header": workbook(t), "twice": workbook(t, []any{"corp", "userid", "data_centre", "corp"}), "too large": bytes.Repeat([]byte("x"), mapping.MaxCSVBytes+1),
	} {
		if _, err := mapping.ParseXLSX(bytes.NewReader(file)); identity.KindOf(err) != identity.Invalid || mapping.RefusalOf(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// T25: a file that unpacks to far more than it is does not fill the machine.
func TestXLSXBomb(t *testing.T) {
	good := workbook(t, []any{"corp", "userid", "data_centre"})
	source, err := zip.NewReader(bytes.NewReader(good), int64(len(good)))
	must(t, err)
	var file bytes.Buffer
	out := zip.NewWriter(&file)
	for _, part := range source.File {
		w, err := out.Create(part.Name)
		must(t, err)
		if part.Name == "xl/worksheets/sheet1.xml" {
			_, err = io.CopyN(w, spaces{}, 300<<20)
			must(t, err)
			continue
		}
		r, err := part.Open()
		must(t, err)
		_, err = io.Copy(w, r)
		must(t, err)
	}
	must(t, out.Close())
	if _, err := mapping.ParseXLSX(&file); identity.KindOf(err) != identity.Invalid {
		t.Errorf("%v", err)
	}
}

// T25: a small file whose cells name one long text again and again, or that has
// rows of thousands of cells, is refused long before it fills the machine.
func TestXLSXRepetition(t *testing.T) {
	header := ""
	for i, name := range []string{"corp", "userid", "data_centre", "note"} {
		header += fmt.Sprintf(`<c r="%c1" t="inlineStr"><is><t>%s</t></is></c>`, 'A'+i, name)
	}
	for name, cell := range map[string]string{
		"long text": `<c r="D%[1]d" t="s"><v>0</v></c>`, "wide rows": `<c r="XFD%[1]d" t="inlineStr"><is><t>x</t></is></c>`,
	} {
		var rows strings.Builder
		rows.WriteString(`<row r="1">` + header + `</row>`)
		for line := 2; line < 3000; line++ {
			fmt.Fprintf(&rows, `<row r="%[1]d">`+cell+`</row>`, line)
		}
		file := withParts(t, map[string]string{
			"xl/worksheets/sheet1.xml": `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>` + rows.String() + `</sheetData></worksheet>`,
			"xl/sharedStrings.xml":     `<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><r><t>` + strings.Repeat("A", 1<<20) + `</t></r><r><t>b</t></r></si></sst>`,
		})
		if len(file) > 1<<20 {
			t.Errorf("%s: the file itself has %d bytes", name, len(file))
		}
		sheet, err := mapping.ParseXLSX(bytes.NewReader(file))
		if r := mapping.RefusalOf(err); sheet != nil || r == nil || r.Reason != mapping.ReasonTooLong {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// withParts is a workbook with some of its parts written anew.
func withParts(t *testing.T, parts map[string]string) []byte {
	t.Helper()
	good := workbook(t, []any{"corp"})
	source, err := zip.NewReader(bytes.NewReader(good), int64(len(good)))
	must(t, err)
	var file bytes.Buffer
	out := zip.NewWriter(&file)
	for _, part := range source.File {
		w, err := out.Create(part.Name)
		must(t, err)
		if text, anew := parts[part.Name]; anew {
			_, err = io.WriteString(w, text)
			must(t, err)
			continue
		}
		r, err := part.Open()
		must(t, err)
		_, err = io.Copy(w, r)
		must(t, err)
	}
	must(t, out.Close())
	return file.Bytes()
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func zipOf(t *testing.T, name, text string) []byte {
	t.Helper()
	var file bytes.Buffer
	out := zip.NewWriter(&file)
	w, err := out.Create(name)
	must(t, err)
	_, err = io.WriteString(w, text)
	must(t, err)
	must(t, out.Close())
	return file.Bytes()
}

func FuzzParseXLSX(f *testing.F) {
	f.Add(workbook(f, []any{"corp", "userid", "data_centre"}, []any{corp, "u1", live}))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, file []byte) {
		sheet, err := mapping.ParseXLSX(bytes.NewReader(file))
		if err == nil && len(sheet.Rows) > mapping.MaxCSVRows {
			t.Errorf("%d rows", len(sheet.Rows))
		}
	})
}
