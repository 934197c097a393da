package approval

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/identity"
)

// self maps every userid to a number made of it.
type self struct{ err error }

func (s self) Staff(_ context.Context, _, userid string) (string, error) { return "N-" + userid, s.err }

func good() Rule {
	return Rule{
		Name: "x", Process: "PROC-1", DataCentre: "live", Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Form: "ER_ExpReimbursement",
		Header: []Field{{Key: "FCausa", From: "Text_1"}},
	}
}

// instance has a table of three rows, of which the last is empty, and a suite.
func instance() dingtalk.Instance {
	table := `[{"rowValue":[{"key":"Money_1","value":"0.1"},{"key":"Kind_1","value":"差旅"}]},` +
		`{"rowValue":[{"key":"Money_1","value":"1,000.20"},{"key":"Kind_1","value":"办公"},{"key":"Who_1","value":"李四","extendValue":[{"emplId":"lisi"}]}]},` +
		`{"rowValue":[{"key":"Money_1","value":"null"}]}]`
	return dingtalk.Instance{
		ID: "inst-1", BusinessID: "202605041200000001234", Title: "报销", Status: "COMPLETED", Result: "agree", Originator: "zhangsan", Department: "-1",
		Created: time.Date(2026, 5, 3, 17, 30, 0, 0, time.UTC), Finished: time.Date(2026, 12, 31, 16, 5, 0, 0, time.UTC),
		Fields: []dingtalk.FormField{
			{ID: "Text_1", Name: "事由", Value: "出差"},
			{ID: "Text_2", Value: ""},
			{ID: "Fen_1", Value: "1234"},
			{ID: "Table_1", Type: "TableField", Value: table},
			{ID: "Range_1", Value: `["2026-02-25 09：00","2026-02-26",null]`},
			{ID: "Choice_1", Alias: "kind", Value: "差旅", Ext: `{"label":"差旅","key":"option_2"}`},
			{ID: "People_1", Value: "张三,李四", Ext: `[{"emplId":"zhangsan"},{"emplId":"lisi"}]`},
			{ID: "Suite_1", Type: "DDBizSuite", Value: `[{"componentName":"MoneyField","props":{"id":"Money_9","bizAlias":"sum"},"value":"12.30"}]`},
		},
	}
}

// model builds the bill of a rule, as JSON.
func model(t *testing.T, rule Rule) (string, error) {
	t.Helper()
	c, err := compile(rule, "rule")
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBuilder(c, instance(), self{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := b.model(t.Context())
	text, broken := json.Marshal(m)
	if broken != nil {
		t.Fatal(broken)
	}
	return string(text), err
}

// TestFields turns each kind of value into its shape (F61): no digit is lost or
// won, dates are Beijing's, and what is not there is told.
func TestFields(t *testing.T) {
	for _, tc := range []struct {
		field Field
		want  string // the value as JSON
		wrong string // or what the mistake says
	}{
		{Field{From: "Text_1"}, `"出差"`, ""},
		{Field{From: "Text_2", Default: "无"}, `"无"`, ""},
		{Field{From: "Text_2"}, "", "nothing is filled in"},
		{Field{From: "Nowhere"}, "", `no component "Nowhere"`},
		{Field{From: "Fen_1", As: AsFen}, "12.34", ""},
		{Field{Const: "5", As: AsFen}, "0.05", ""},
		{Field{Const: "-100000000000000000001", As: AsFen}, "-1000000000000000000.01", ""},
		{Field{Const: "0.5", As: AsFen}, "0.005", ""},
		{Field{Const: "1,234,567.80", As: AsDecimal}, "1234567.80", ""},
		{Field{Const: "007.10", As: AsDecimal}, "7.10", ""},
		{Field{Const: "1,23", As: AsDecimal}, "", "no amount"},
		{Field{Const: "1e3", As: AsDecimal}, "", "no amount"},
		{Field{Const: "１２", As: AsDecimal}, "", "no amount"},
		{Field{Const: "NaN", As: AsDecimal}, "", "no amount"},
		{Field{From: "@finished", As: AsDay}, `"2027-01-01"`, ""}, // R51: past midnight in Beijing
		{Field{From: "@created", As: AsMoment}, `"2026-05-04 01:30:00"`, ""},
		{Field{Const: "1777651200000", As: AsDay}, `"2026-05-02"`, ""},
		{Field{From: "Range_1#1", As: AsMoment}, `"2026-02-25 09:00:00"`, ""},
		{Field{From: "Range_1#2", As: AsDay}, `"2026-02-26"`, ""},
		{Field{From: "Range_1#3"}, "", "nothing is filled in"},
		{Field{Const: "2024-02-29", As: AsDay}, `"2024-02-29"`, ""},
		{Field{Const: "2026-02-29", As: AsDay}, "", "no date"},
		{Field{From: "kind#key"}, `"option_2"`, ""},
		{Field{From: "kind", Dictionary: "d", As: AsNumber}, `{"FNumber":"CI001"}`, ""},
		{Field{From: "Text_1", Dictionary: "d"}, "", `does not have "出差"`},
		{Field{From: "@originator", As: AsStaff}, `{"FSTAFFNUMBER":"N-zhangsan"}`, ""},
		{Field{From: "People_1", As: AsStaff}, "", "2 people"},
		{Field{From: "sum", As: AsDecimal}, "12.30", ""},
		{Field{Const: "是", As: AsBool}, "true", ""},
		{Field{Const: "maybe", As: AsBool}, "", "neither yes nor no"},
		{Field{Const: "12", As: AsInt}, "12", ""},
		{Field{Const: "1.5", As: AsInt}, "", "no whole number"},
		{Field{Const: "admin", As: AsAccount}, `{"FUSERACCOUNT":"admin"}`, ""},
		{Field{Expr: `total("Table_1", "Money_1")`, As: AsDecimal}, "1000.3", ""},
		{Field{Expr: `dec("0.1") + dec("0.2") == dec("0.30")`, As: AsBool}, "true", ""},
		{Field{Expr: `round(div(dec(1), dec(3), 6) * dec(100), 2)`, As: AsDecimal}, "33.33", ""},
		{Field{Expr: `div(dec(1), dec(0), 2)`, As: AsDecimal}, "", "zero"},
		{Field{Expr: `len(filter(rows("Table_1"), .value("Kind_1") == "差旅"))`, As: AsInt}, "1", ""},
		{Field{Expr: `title + "/" + finished + "/" + word("d", value("kind"))`}, `"报销/2027-01-01/CI001"`, ""},
		{Field{Expr: `rows("Nowhere")[0].value("x")`}, "", "no table"},
	} {
		tc.field.Key = "FX"
		rule := good()
		rule.Header = []Field{tc.field}
		rule.Dictionaries = map[string]map[string]string{"d": {"差旅": "CI001"}}
		text, err := model(t, rule)
		var mistakes Mistakes
		switch {
		case tc.wrong != "":
			if !errors.As(err, &mistakes) || len(mistakes) != 1 || mistakes[0].Field != "FX" || !strings.Contains(mistakes[0].Words, tc.wrong) {
				t.Errorf("%+v: %s %v", tc.field, text, err)
			}
		case err != nil || text != `{"FX":`+tc.want+`}`:
			t.Errorf("%+v: %s, want %s, %v", tc.field, text, tc.want, err)
		}
	}
}

// TestRows makes entries of a table: conditions, cells before the form's own
// components, empty cells, people in rows, and all mistakes of all rows at once.
func TestRows(t *testing.T) {
	rule := good()
	rule.Rows = []Table{{Entry: "FEntity", From: "Table_1", When: `cell("Money_1") != ""`, Fields: []Field{
		{Key: "FAmount", From: "Money_1", As: AsDecimal}, {Key: "FWho", From: "Who_1", As: AsStaff, Optional: true}, {Key: "FWhy", Expr: `cell("Kind_1") + "/" + value("Text_1")`},
	}}}
	text, err := model(t, rule)
	if want := `{"FCausa":"出差","FEntity":[{"FAmount":0.1,"FWhy":"差旅/出差"},{"FAmount":1000.20,"FWho":{"FSTAFFNUMBER":"N-lisi"},"FWhy":"办公/出差"}]}`; err != nil || text != want {
		t.Errorf("%s %v", text, err)
	}
	rule.Rows[0].When = ""
	rule.Rows[0].Fields[1].Optional = false
	if _, err := model(t, rule); err == nil || strings.Count(err.Error(), "FWho") != 2 || strings.Count(err.Error(), "FEntity[3].FAmount") != 1 {
		t.Errorf("%v", err)
	}
	rule.Rows[0].When = `false`
	if _, err := model(t, rule); err == nil || !strings.Contains(err.Error(), "no row") {
		t.Errorf("%v", err)
	}
}

// TestStaffAway: a mapping that cannot be asked is no mistake of the form.
func TestStaffAway(t *testing.T) {
	rule := good()
	rule.Header = []Field{{Key: "FX", From: "@originator", As: AsStaff}}
	c, err := compile(rule, "rule")
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBuilder(c, instance(), self{identity.Fail(identity.Unavailable, identity.CodeStoreDown, "test")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.model(t.Context())
	if _, mended := errors.AsType[Mistakes](err); mended || identity.KindOf(err) != identity.Unavailable {
		t.Errorf("%v", err)
	}
}

// TestRuleMistakes proves that everything that is wrong with rules is told at
// once and when they are read, not when somebody's money waits.
func TestRuleMistakes(t *testing.T) {
	bad := Rule{
		Form: "1", Version: -1, When: `value("x")`,
		Header: []Field{
			{Key: "Name", Const: "x"},
			{Key: "FA", Const: "x", From: "y"},
			{Key: "FB"},
			{Key: "FC", Const: "x", As: "float"},
			{Key: "FD", Const: "x", Dictionary: "none"},
			{Key: "FE", Expr: "1 +"},
			{Key: "FE", Const: "x"},
			{Key: "FG", From: "@nobody"},
			{Key: "FH", Expr: "1.5"},
		},
		Rows: []Table{{Entry: "x"}},
	}
	err := Check([]Rule{bad, good(), good()})
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, part := range []string{
		"rule 1: needs a name", "process: missing", "since: missing", `form: "1"`, "version: -1", "when:", `"Name" is no field key`, "header.FA: wants exactly one",
		"header.FB: wants exactly one", `header.FC.as: "float"`, "header.FD.dictionary", "header.FE.expr", "header.FE: filled twice", "header.FG.from", "header.FH.expr", "rows[0].entry",
		"rows[0].fields", `rule "x": needs a name of its own`,
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not told in\n%v", part, err)
		}
	}
	none := good()
	none.Template = "nothing"
	if err := Check([]Rule{none}); err == nil || !strings.Contains(err.Error(), "expense-reimbursement") {
		t.Errorf("%v", err)
	}
}

// TestFormulas proves that an expression can neither run long, nor reach anything
// but the form, nor make a float (the traps of the expression library).
func TestFormulas(t *testing.T) {
	for _, text := range []string{
		`1 +`, `0.1 + 0.2`, `1 / 2`, `nothing`, `now()`, `repeat("x", 1000000)`, `toJSON(title)`, `fromJSON("{}")`, `sortBy(rows("x"), .number)`,
		`any(rows("a"), any(rows("b"), any(rows("c"), true)))`, `dec("1").value`, `dec("1").Pow(dec("9"))`, `dec(0.1)`, `sum([1,2])`, `reduce([1,2], #acc + #)`,
		strings.Repeat("1+", 400) + "1", strings.Repeat(" ", 5000) + "1", `date("2026-01-01")`, `{"a":1}`, `[1,2]`, `round(dec("1"), 0.5)`, `$env`,
	} {
		if f, err := compileFormula(text, false); err == nil {
			t.Errorf("%.60q compiles, as %v", text, f.program.Node().Type())
		}
	}
	if _, err := compileFormula(`"yes"`, true); err == nil {
		t.Error("a condition that is a text compiles")
	}
	for _, text := range []string{`1..1000000 == []`, `len(1..100000000)`, `div(dec("1"), dec("3"), 999999999)`, `int("x")`, `[1][5]`, `dec("9" + "x")`} {
		f, err := compileFormula(text, false)
		if err != nil {
			continue
		}
		if value, err := f.evaluate(scope{}); err == nil && value != false {
			t.Errorf("%q gives %v", text, value)
		}
	}
}

// TestFormulasStaySmall proves for expressions what T63 and T120 ask of messages:
// no small text makes the machine compute or hold much (the library counts
// elements, and neither the length of texts nor the digits of numbers).
func TestFormulasStaySmall(t *testing.T) {
	double := func(operator string) string {
		var b strings.Builder
		for name := 'b'; name <= 'z'; name++ {
			fmt.Fprintf(&b, "let %c = %c %s %c; ", name, name-1, operator, name-1)
		}
		return b.String()
	}
	long := strings.Repeat("x", 2000)
	for _, text := range []string{
		`let a = "` + long + `"; ` + double("+") + `len(z) > 1`,
		`let a = dec("99999999999999999"); ` + double("*") + `z > dec("1")`,
		`let a = dec("0.0000000001"); ` + double("*") + `z > dec("1")`,
		`let a = join(map(1..5000, "` + long + `"), ""); let b = join(map(1..5000, a), ""); len(b) > 1`,
		`len(string(map(1..10000, "` + long + `"))) > 1`,
		`len(map(1..10000, split("` + long + `", ""))) > 1`,
		`len(map(1..10000, split("` + long + `", "", 2000))) > 1`,
		`let a = first(["` + long + `"]); ` + double("+") + `len(z) > 1`,
		`len(first(map(map(map(map(["` + long + `"], # + #), # + #), # + #), # + #))) > 1`,
		`len(1..100000) > 1`,
	} {
		f, err := compileFormula(text, true)
		if err == nil {
			_, err = f.evaluate(scope{})
		}
		if err == nil || strings.Contains(err.Error(), "too long") {
			t.Errorf("%.80s: %v", text, err)
		}
	}
	for text, want := range map[string]any{
		`"a" + title + string(1)`: "ab1", `1 + 2`: 3, `join(["a", "b"], "-")`: "a-b", `join(split("a,b", ","))`: "ab", `split("a-b-c", "-", 2)[1]`: "b-c",
		`string(dec("1.50") + dec("1"))`: "2.5", `string(true)`: "true", `join(map([1, 2], string(#)), "+")`: "1+2", `split("2026-02-01", "-")[0] + "/"`: "2026/",
		`string(first(["x"])) + "y"`: "xy",
	} {
		f, err := compileFormula(text, false)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := f.evaluate(scope{Title: "b"}); err != nil || got != want {
			t.Errorf("%s gives %v, %v; want %v", text, got, err, want)
		}
	}
}

// numberVector was computed by other means than ours.
const numberVector = "DD-QU3XLNFVRE32VWJEB6KE"

// TestNumber holds the bill's number fast: another length prefix or alphabet
// would make second bills of everything (R33).
func TestNumber(t *testing.T) {
	got := Number("dingcorp1", "inst-1", "ER_ExpReimbursement", 1)
	if !regexp.MustCompile(`^DD-[A-Z2-7]{20}$`).MatchString(got) || got != numberVector {
		t.Errorf("%s", got)
	}
	seen := map[string]string{}
	for _, parts := range [][4]string{{"a", "bc", "d", "1"}, {"ab", "c", "d", "1"}, {"a", "b", "cd", "1"}, {"a", "bc", "d", "2"}, {"A", "bc", "d", "1"}, {"a", "bc", "", "1"}} {
		n := Number(parts[0], parts[1], parts[2], int(parts[3][0]-'0'))
		if other, twice := seen[n]; twice {
			t.Errorf("%v and %s have one number", parts, other)
		}
		seen[n] = fmt.Sprint(parts)
	}
}

// TestTemplates: every template that ships compiles once the ids are given.
func TestTemplates(t *testing.T) {
	if len(Templates()) == 0 {
		t.Fatal("no template ships")
	}
	for _, name := range Templates() {
		rule := Rule{Name: name, Process: "PROC-1", DataCentre: "live", Since: time.Now(), Template: name}
		if err := Check([]Rule{rule}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		filled, err := rule.filled()
		if err != nil || filled.Name != name || filled.Process != "PROC-1" {
			t.Errorf("%s: %+v %v", name, filled, err)
		}
	}
}

// FuzzFormula proves that no text makes the compiler or the machine panic.
func FuzzFormula(f *testing.F) {
	for _, seed := range []string{`dec("1") + dec(2)`, `any(rows("a"), .value("b") == "c")`, `title ?? "x"`, `dec(`, `title matches "("`, `-dec(1)`, `value`, `rows`} {
		f.Add(seed)
	}
	c, err := compile(good(), "rule")
	if err != nil {
		f.Fatal(err)
	}
	b, err := newBuilder(c, instance(), self{}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		formula, err := compileFormula(text, false)
		if err != nil {
			return
		}
		if value, err := formula.evaluate(b.scope()); err == nil {
			if _, float := value.(float64); float {
				t.Errorf("%q gives the float %v", text, value)
			}
		}
	})
}

// FuzzAmounts proves that what is taken for an amount keeps its value.
func FuzzAmounts(f *testing.F) {
	for _, seed := range []string{"0", "-0.10", "1,000.50", "007", "1e5", "９", ".5", "5.", "+1", "1,00", "0,001"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := digits(text)
		if err != nil {
			return
		}
		before, err := exact(text)
		if err != nil || !d.Valid() {
			t.Fatalf("%q became %q: %v", text, d, err)
		}
		after, err := exact(string(d))
		if err != nil || !after.Equal(before) {
			t.Errorf("%q became %q", text, d)
		}
		if y, err := yuan(text); err != nil || !y.Valid() {
			t.Errorf("%q in fen became %q: %v", text, y, err)
		}
	})
}
