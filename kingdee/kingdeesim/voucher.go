package kingdeesim

import (
	"fmt"
	"strconv"
	"strings"

	"kdgate/kingdee/kingdeesim/internal/filter"
	"kdgate/kingdee/kingdeesim/internal/loose"
)

// Sides of a voucher row (reference 4.2).
const (
	sideDebit  = "1"
	sideCredit = "2"
)

// voucher is GL_VOUCHER. That its number runs by itself, and how it objects, is
// assumed; its keys are the reference's.
func voucher() *docForm {
	return &docForm{
		id: "GL_VOUCHER", key: "FVoucherID", number: "FNumber", dated: "FDate", series: voucherSeries,
		head: []docField{
			{key: "FDate", kind: kindDate, must: true},
			{key: "FBUSDATE", kind: kindDate},
			{key: "FYear"},
			{key: "FPeriod"},
			{key: "FVOUCHERGROUPID", kind: kindRef, form: "BD_VOUCHERGROUP", must: true},
			{key: "FAccountBookID", kind: kindRef, form: "BD_AccountBook", must: true},
			{key: "FACCBOOKORGID", kind: kindRef, form: formOrganisation},
		},
		entry: "FEntity",
		lines: []docField{
			{key: "FEXPLANATION", searched: true},
			{key: "FACCOUNTID", kind: kindRef, form: "BD_Account", must: true},
			{key: "FDetailID", kind: kindObject},
			{key: "FDC"},
			{key: "FCURRENCYID", kind: kindRef, form: formCurrency},
			{key: "FEXCHANGERATETYPE", kind: kindRef, form: "BD_RateType"},
			{key: "FEXCHANGERATE", kind: kindDecimal},
			{key: "FAMOUNTFOR", kind: kindDecimal},
			{key: "FDEBIT", kind: kindDecimal},
			{key: "FCREDIT", kind: kindDecimal},
		},
		check: checkVoucher,
	}
}

// voucherSeries is what a voucher's number runs within: book, year, period and
// group (凭证字).
func voucherSeries(d *document) string {
	return fmt.Sprint(d.values["faccountbookid"], "/", d.values["fyear"], "/", d.values["fperiod"], "/", d.values["fvouchergroupid"])
}

// checkVoucher refuses what no book takes: a year or period that is not the
// date's, a row on both sides or none, and debits that are not the credits.
func checkVoucher(f *fields, d *document) {
	if day, _ := d.values["fdate"].(string); len(day) >= 7 {
		for key, want := range map[string]string{"FYear": day[:4], "FPeriod": strings.TrimLeft(day[5:7], "0")} {
			lower := strings.ToLower(key)
			if sent, _ := d.values[lower].(string); sent != "" && sent != want {
				f.fail(key, "%s与凭证日期%s不一致", sent, day[:10])
			}
			d.values[lower] = want
		}
	}
	for i, line := range d.lines {
		checkVoucherLine(f, fmt.Sprintf("FEntity[%d].", i), line.values)
	}
	if debit, credit := total(d, "fdebit"), total(d, "fcredit"); filter.Compare(debit, credit) != 0 {
		f.fail("FEntity", "凭证借贷不平衡：借方%s，贷方%s", debit, credit)
	}
}

func checkVoucherLine(f *fields, at string, values map[string]any) {
	debit, credit := nonZero(values["fdebit"]), nonZero(values["fcredit"])
	switch side, _ := values["fdc"].(string); {
	case debit == credit:
		f.fail(at+"FDEBIT", "分录的借方金额和贷方金额必须且只能录入一个")
	case side == sideDebit && credit, side == sideCredit && debit, side != "" && side != sideDebit && side != sideCredit:
		f.fail(at+"FDC", "借贷方向%s与金额不一致", side)
	}
	for _, key := range []string{"fdebit", "fcredit"} {
		n, _ := values[key].(filter.Number)
		if _, places, _ := strings.Cut(string(n), "."); len(strings.TrimRight(places, "0")) > 2 {
			f.fail(at+strings.ToUpper(key), "金额%s超出本位币精度", n)
		}
	}
	dimensions, isObject := values["fdetailid"].(loose.Object)
	if values["fdetailid"] != nil && !isObject {
		f.fail(at+"FDetailID", "核算维度的格式不正确")
	}
	for _, one := range dimensions {
		if key := strings.ToUpper(one.Name); !strings.HasPrefix(key, "FDETAILID__F") {
			f.fail(at+"FDetailID", "核算维度%s不存在", one.Name)
		}
	}
}

func nonZero(value any) bool {
	n, _ := value.(filter.Number)
	return strings.Trim(string(n), "-0.") != ""
}

// nextInSeries is the number behind the highest of the documents of one series.
func (t *docTable) nextInSeries(d *docForm, of *document) string {
	highest, series := 0, d.series(of)
	for _, other := range t.list {
		if n, err := strconv.Atoi(other.number); err == nil && n > highest && d.series(other) == series {
			highest = n
		}
	}
	return strconv.Itoa(highest + 1)
}
