package approval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"kdgate/kingdee"
)

// formVoucher is the form whose rows stand on two sides that must be equal.
const formVoucher = "GL_VOUCHER"

// Sides of a voucher's row, by their field and what FDC calls them.
const (
	fieldDebit, sideDebit   = "FDEBIT", "1"
	fieldCredit, sideCredit = "FCREDIT", "2"
)

// unbalanced tells what is wrong with the two sides of a voucher: each row has an
// amount on exactly one, in whole cents, on the side that FDC names, and the
// debits are the credits to the cent. Kingdee would say so too; here a person
// hears it in words before anything is posted.
func (b *builder) unbalanced(model kingdee.Model) Mistakes {
	if b.rule.Form != formVoucher {
		return nil
	}
	var wrong Mistakes
	var debits, credits decimal.Decimal
	for _, f := range model {
		rows, ok := f.Value.([]kingdee.Model)
		if !ok {
			continue
		}
		for i, row := range rows {
			debit, credit := side(row, fieldDebit), side(row, fieldCredit)
			debits, credits = debits.Add(debit), credits.Add(credit)
			if words := oneSided(row, debit, credit); words != "" {
				wrong = append(wrong, Mistake{Field: fmt.Sprintf("%s[%d]", f.Key, i+1), Words: words})
			}
		}
	}
	if !debits.Equal(credits) {
		wrong = append(wrong, Mistake{Field: fieldDebit, Words: fmt.Sprintf("the debits are %s and the credits %s", debits, credits)})
	}
	return wrong
}

// side is the amount of a row on one side.
func side(row kingdee.Model, key string) decimal.Decimal {
	for _, f := range row {
		if digits, ok := f.Value.(kingdee.Decimal); ok && strings.EqualFold(f.Key, key) {
			d, err := decimal.NewFromString(string(digits))
			if err == nil {
				return d
			}
		}
	}
	return decimal.Decimal{}
}

func oneSided(row kingdee.Model, debit, credit decimal.Decimal) string {
	named := slices.IndexFunc(row, func(f kingdee.Field) bool { return strings.EqualFold(f.Key, "FDC") })
	switch {
	case debit.IsZero() == credit.IsZero():
		return fmt.Sprintf("an amount on exactly one side is wanted, not %s and %s", debit, credit)
	case !debit.Equal(debit.Round(2)) || !credit.Equal(credit.Round(2)):
		return fmt.Sprintf("%s is no amount in whole cents", debit.Add(credit))
	case named >= 0 && (fmt.Sprint(row[named].Value) == sideDebit) == debit.IsZero():
		return "FDC names the other side"
	}
	return ""
}
