package mapping_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
)

// TestParseCSV proves T25 for the file: what is no table is refused as a whole.
func TestParseCSV(t *testing.T) {
	good := line("u1", "1001", "张三")
	for name, file := range map[string]string{
		"plain":            header + good,
		"byte-order mark":  "\ufeff" + header + good,
		"CRLF":             strings.ReplaceAll(header+good+"\n", "\n", "\r\n"),
		"other order":      "userid,login_user,data_centre,corp,staff_number\nu1,张三," + live + "," + corp + ",1001",
		"quoted":           header + `"dingcorp1","u1","live","1001","张三","",""`,
		"columns of state": strings.TrimSpace(header) + ",status,version\n" + good + ",suspended,99",
	} {
		s, err := mapping.ParseCSV(strings.NewReader(file))
		if err != nil || len(s.Rows) != 1 || s.Rows[0].Refusal != nil || s.Rows[0].Key != key("u1") || s.Rows[0].LoginUser != "张三" || s.Rows[0].Line != 2 {
			t.Errorf("%s: %+v %v", name, s, err)
		}
	}
	for name, file := range map[string]string{
		"empty":            "",
		"duplicate header": "corp,userid,data_centre,userid\n",
		"unknown column":   "corp,userid,data_centre,role\n",
		"folded column":    "corp,UserID,data_centre\n",
		"missing column":   "corp,userid,staff_number\n",
		"GBK":              header + "dingcorp1,u1,live,1001,\xd5\xc5\xc8\xfd,,\n",
		"open quote":       header + "dingcorp1,\"u1,live,1001,x,,\n",
		"too many rows":    header + strings.Repeat("c,u,live,1,,,\n", mapping.MaxCSVRows+1),
		"too many bytes":   header + strings.Repeat(line("u1", "1", strings.Repeat("x", 1000))+"\n", 11<<10),
		"one endless line": header + strings.Repeat("x", 11<<20),
	} {
		if s, err := mapping.ParseCSV(strings.NewReader(file)); identity.KindOf(err) != identity.Invalid || mapping.RefusalOf(err) == nil {
			t.Errorf("%s: %v %v", name, s, err)
		}
	}
}

// TestParseCSVLines proves T25 and T103 for single lines.
func TestParseCSVLines(t *testing.T) {
	for text, want := range map[string]mapping.Reason{
		line("u1", "=1+1", ""):                             mapping.ReasonFormula,
		line("u1", "1", "@SUM(A1)"):                        mapping.ReasonFormula,
		line("u1", "1", "＝cmd"):                            mapping.ReasonFormula,
		line("u1", "1", "\tx"):                             mapping.ReasonFormula,
		line("-u1", "1", ""):                               mapping.ReasonFormula,
		line("u1", "1", " x"):                              mapping.ReasonSpaceAtEdge,
		line("u1", "1 or 1", ""):                           mapping.ReasonCharset,
		line("u\u200b1", "1", ""):                          mapping.ReasonInvisible,
		line("", "1", ""):                                  mapping.ReasonEmpty,
		line("u1", "1", "x") + ",more":                     mapping.ReasonColumns,
		"dingcorp1,u1,live":                                mapping.ReasonColumns,
		"dingcorp1,u1,live,1,,Manual,":                     mapping.ReasonOwner,
		"dingcorp1,u1,live,1,,,\"two\nlines\"":             mapping.ReasonControl,
		"dingcorp1,u1,li/ve,1,,,":                          mapping.ReasonCharset,
		"dingcorp1,u1,live,1,," + "manual," + "'=inert":    "",
		"dingcorp1,u1,live,'-1,'＠x,,":                      "",
		"dingcorp1,u1,live,1,O'Brien,,":                    "",
		"dingcorp1," + strings.Repeat("u", 65) + ",live,,": mapping.ReasonColumns,
	} {
		s := sheet(t, text)
		got := mapping.Reason("")
		if s.Rows[0].Refusal != nil {
			got = s.Rows[0].Refusal.Reason
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestFilesThatAreNoTable: each is refused whole, with the reason that a person can act on.
func TestFilesThatAreNoTable(t *testing.T) {
	gbk := string([]byte{0xc0, 0xee, 0xcb, 0xc4}) // 李四
	for text, want := range map[string]mapping.Reason{
		"":                                     mapping.ReasonEmpty,
		"corp,\"user\"id,data_centre\n":        mapping.ReasonFormat,
		header + "c,\"u\"1,d,1,,,\n":           mapping.ReasonFormat,
		header + line("u1", "1", gbk):          mapping.ReasonNotText,
		"corp;userid;data_centre\n":            mapping.ReasonColumns,
		"PK\x03\x04 and then nothing of a zip": mapping.ReasonFormat,
	} {
		if _, err := mapping.ParseSheet(strings.NewReader(text)); mapping.RefusalOf(err) == nil || mapping.RefusalOf(err).Reason != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestExportRoundTrip proves T103: no cell executes, and a file read back is the
// table again, byte for byte, whatever the cells begin with.
func TestExportRoundTrip(t *testing.T) {
	r := newRig(t)
	notes := []string{"=1+1", "+1", "-1", "@x", "'quoted", "''twice", "＝全角", "－x", "plain, with comma", `"quotes"`, ""}
	for i, note := range notes {
		r.create(mapping.Draft{Key: key(fmt.Sprintf("u%02d", i)), StaffNumber: fmt.Sprintf("-%d", i), LoginUser: fmt.Sprintf("@login%d", i), Note: note})
	}
	_, err := r.Suspend(t.Context(), clerk, key("u00"), "left")
	must(t, err)
	var file bytes.Buffer
	must(t, r.ExportCSV(t.Context(), admin, &file, mapping.Filter{}, nil))
	for _, text := range strings.FieldsFunc(file.String(), func(c rune) bool { return c == ',' || c == '\n' || c == '\r' || c == '"' }) {
		if strings.ContainsAny(text[:1], "=+-@\t") || strings.HasPrefix(text, "＝") || strings.HasPrefix(text, "－") {
			t.Errorf("cell %q would execute", text)
		}
	}
	s, err := mapping.ParseCSV(bytes.NewReader(file.Bytes()))
	must(t, err)
	plan, err := r.Plan(t.Context(), admin, s, nil)
	must(t, err)
	if plan.Same != len(notes) {
		t.Errorf("own export: %d same of %d, %+v", plan.Same, len(notes), plan.Rows)
	}
	fresh := newRig(t)
	plan, err = fresh.Plan(t.Context(), admin, s, nil)
	must(t, err)
	_, err = fresh.Apply(t.Context(), admin, plan, mapping.ApplyOptions{})
	must(t, err)
	for i, note := range notes {
		e := fresh.get(fmt.Sprintf("u%02d", i))
		if e.Note != note || e.LoginUser != fmt.Sprintf("@login%d", i) || e.StaffNumber != fmt.Sprintf("-%d", i) {
			t.Errorf("read back %+v, want note %q", e, note)
		}
	}
	if len(r.records(audit.Query{Action: audit.ActionMappingExport})) != 1 {
		t.Error("the export was not recorded")
	}
}

// FuzzParseCSV: no file panics, and a line that is passed stays what it is
// through export and import.
func FuzzParseCSV(f *testing.F) {
	f.Add(header + line("u1", "1", "one"))
	f.Add("\ufeffcorp,userid,data_centre,note\r\nc,u,d,'=x\r\n")
	f.Add(header + "c,\"u\"\"1\",d,1,'＝,,''\n\n,,,,,,\n")
	f.Add("corp,userid,data_centre\n\"")
	f.Fuzz(func(t *testing.T, file string) {
		s, err := mapping.ParseCSV(strings.NewReader(file))
		if err != nil {
			return
		}
		for _, row := range s.Rows {
			if row.Refusal != nil {
				continue
			}
			if mapping.CheckUserID(row.Key.UserID) != nil || row.LoginUser != "" && mapping.CheckLoginUser(row.LoginUser) != nil {
				t.Errorf("passed %+v", row)
			}
		}
	})
}

// TestInertCells proves T103 as a property of notes of any text.
func TestInertCells(t *testing.T) {
	r, n := newRig(t, func(c *mapping.Config) { c.Recorder, c.Directories = quiet{}, nil }), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		k := mapping.Key{DataCentre: fmt.Sprint("dc", n), Corp: corp, UserID: "u1"}
		note := rapid.StringOf(rapid.SampledFrom([]rune("=+-@'＝＋－＠a, \"张"))).Draw(rt, "note")
		if _, err := r.Create(context.Background(), admin, mapping.Draft{Key: k, StaffNumber: "1", Note: note}); err != nil {
			rt.Fatal(err)
		}
		var file bytes.Buffer
		if err := r.ExportCSV(context.Background(), admin, &file, mapping.Filter{DataCentre: k.DataCentre}, nil); err != nil {
			rt.Fatal(err)
		}
		s, err := mapping.ParseCSV(&file)
		if err != nil || len(s.Rows) != 1 || s.Rows[0].Refusal != nil || s.Rows[0].Note != note {
			rt.Fatalf("%q came back as %+v (%v)", note, s, err)
		}
	})
}
