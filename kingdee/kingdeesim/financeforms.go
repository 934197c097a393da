package kingdeesim

import (
	"math/big"
	"strings"

	"kdgate/kingdee/kingdeesim/internal/filter"
)

const (
	formStaff        = "BD_Empinfo"
	formDepartment   = "BD_Department"
	formOrganisation = "ORG_Organizations"
	formCurrency     = "BD_Currency"
	formMaterial     = "BD_MATERIAL"
	formStock        = "BD_STOCK"
)

// financeForms are expense documents and vouchers (reference 4.2). Which of
// their fields are required is assumed.
func financeForms() []*docForm {
	return []*docForm{
		reimbursement("ER_ExpReimbursement", "FYBX", "ER_ExpenseReimbEntry"),
		reimbursement("ER_ExpReimbursement_Travel", "CLBX", "ER_ExpenseReimbEntry"),
		expenseRequest("ER_ExpenseRequest", "FYSQ"),
		expenseRequest("ER_ExpenseRequest_Travel", "CCSQ"),
		voucher(),
	}
}

func reimbursement(id, prefix, shown string) *docForm {
	return &docForm{
		id: id, key: "FID", number: "FBillNo", prefix: prefix, dated: "FDate",
		head: []docField{
			{key: "FBillTypeID", kind: kindRef, form: "BOS_BillType"},
			{key: "FDate", kind: kindDate, must: true},
			{key: "FCausa", searched: true},
			{key: "FRemark"},
			{key: "FProposerID", kind: kindRef, form: formStaff, must: true},
			{key: "FRequestDeptID", kind: kindRef, form: formDepartment, must: true},
			{key: "FExpenseDeptID", kind: kindRef, form: formDepartment},
			{key: "FOrgID", kind: kindRef, form: formOrganisation, must: true},
			{key: "FExpenseOrgId", kind: kindRef, form: formOrganisation},
			{key: "FPayOrgId", kind: kindRef, form: formOrganisation},
			{key: "FCurrencyID", kind: kindRef, form: formCurrency},
			{key: "FCONTACTUNITTYPE"},
			{key: "FCONTACTUNIT", kind: kindRef, form: formStaff},
			{key: "FExpAmountSum", kind: kindDecimal},
			{key: "FReqAmountSum", kind: kindDecimal},
			{key: "FRequestType"},
			{key: "FRealPay", kind: kindFlag},
		},
		entry: "FEntity", shown: shown,
		lines: []docField{
			{key: "FExpID", kind: kindRef, form: "BD_Expense", must: true},
			{key: "FExpenseAmount", kind: kindDecimal, must: true},
			{key: "FRequestAmount", kind: kindDecimal},
			{key: "FExpSubmitAmount", kind: kindDecimal},
			{key: "FTravelStartDate", kind: kindDate},
			{key: "FTravelEndDate", kind: kindDate},
			{key: "FTravelStartSite"},
			{key: "FTravelEndSite"},
			{key: "FDays", kind: kindDecimal},
			{key: "FRemark"},
		},
		check: sumExpenses,
	}
}

// sumExpenses fills the sums of the head in, as the vendor's form does.
func sumExpenses(_ *fields, d *document) {
	for head, line := range map[string]string{"fexpamountsum": "fexpenseamount", "freqamountsum": "frequestamount"} {
		d.values[head] = total(d, line)
	}
}

func total(d *document, key string) filter.Number {
	sum, places := new(big.Rat), 2
	for _, line := range d.lines {
		n, _ := line.values[key].(filter.Number)
		if r, ok := new(big.Rat).SetString(string(n)); ok {
			sum.Add(sum, r)
		}
		if _, after, dot := strings.Cut(string(n), "."); dot {
			places = max(places, len(after))
		}
	}
	return filter.Number(sum.FloatString(places)) // exact: big.Rat is no float
}

func expenseRequest(id, prefix string) *docForm {
	return &docForm{
		id: id, key: "FID", number: "FBillNo", prefix: prefix, dated: "FDate",
		head: []docField{
			{key: "FDate", kind: kindDate, must: true},
			{key: "FStaffID", kind: kindRef, form: formStaff, must: true},
			{key: "FDeptID", kind: kindRef, form: formDepartment},
			{key: "FOrgID", kind: kindRef, form: formOrganisation, must: true},
			{key: "FExpenseItemID", kind: kindRef, form: "BD_Expense"},
			{key: "FReason", searched: true},
			{key: "FIsBorrow", kind: kindFlag},
			{key: "FCloseStatus"},
			{key: "FOrgAmount", kind: kindDecimal},
			{key: "FCheckedOrgAmount", kind: kindDecimal},
		},
	}
}
