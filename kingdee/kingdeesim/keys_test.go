package kingdeesim_test

import (
	"fmt"
	"strings"
	"testing"

	"kdgate/kingdee/kingdeesim"
)

// queryKeys are the fields that the reference has seen asked for, by form (4.2).
const queryKeys = `
BD_Empinfo FID,FNumber,FStaffNumber,FName,FMobile,FTel,FEmail,FCreateOrgId.FNumber,FUseOrgId.FNumber,FWorkOrgId.FNumber,FPostDept.FNumber,FPostDept.FName,FPost.FNumber,FPost.FName,FForbidStatus,FDocumentStatus,FJoinDate
BD_NEWSTAFF FSTAFFID,FName,FDept,FEmpInfoId,FStaffNumber,FPosition,FPerson.FNumber,FIsFirstPost,FPersonId
BD_Department FDEPTID,FNumber,FName,FFullName,FDocumentStatus,FForbidStatus,FUseOrgId,FUseOrgId.FNumber,FCreateOrgId,FParentID,FDepth
HR_ORG_HRPOST FPOSTID,FNumber,FName,FFullName,FDept.FNumber,FUseOrgId.FNumber,FCreateOrgId,FEffectDate,FLapseDate,FHelpCode,FDESCRIPTIONS
SEC_User FUserID,FNumber,FName,FUserAccount,FOrgId,FUserType,FForbidStatus,FIsLocked,FPhone,FEmail,FLinkObject,FDescription,FCreateDate,FPRIMARYGROUP
ER_ExpenseRequest FBillNo,FDate,FStaffID,FDeptID,FOrgID,FExpenseItemID,FReason,FIsBorrow,FDocumentStatus,FCloseStatus,FOrgAmount,FCheckedOrgAmount
ER_ExpenseRequest_Travel FBillNo,FDate,FDocumentStatus
ER_ExpReimbursement FBillNo,FDate,FCausa,FProposerID.FNumber,FRequestDeptID,FOrgID,FExpenseOrgId,FPayOrgId,FBillTypeID,FCONTACTUNITTYPE,FExpAmountSum,FReqAmountSum,FRequestType,FRealPay,FDocumentStatus,FExpID,FExpenseAmount,FRequestAmount,FExpSubmitAmount
ER_ExpReimbursement_Travel FBillNo,FTravelStartDate,FTravelEndDate,FTravelStartSite,FTravelEndSite,FDays
GL_VOUCHER FVoucherID,FNumber,FDate,FBUSDATE,FYear,FPeriod,FVOUCHERGROUPID,FAccountBookID,FACCBOOKORGID,FDocumentStatus,FEXPLANATION,FACCOUNTID,FDC,FAMOUNTFOR,FDEBIT,FCREDIT,FCURRENCYID,FEXCHANGERATETYPE,FEXCHANGERATE,FDetailID
STK_Inventory FMaterialId.FNumber,FMaterialId.FName,FStockId.FNumber,FStockOrgId.FNumber,FQty,FBaseQty,FAVBQty,FBaseAVBQty,FLot.FNumber,FStockStatusId,FMtoNo,FOwnerId,FKeeperId
BD_MATERIAL FNumber,FName,FMinStock,FSafeStock,FReOrderGood,FEconReOrderQty,FMaxStock
WF_AssignmentBill FASSIGNID,FTitle,FCONTENT,FCREATETIME,FReceiverId,FSTATUS,FTmpId.FProcessType
ORG_Organizations FNumber,FName
BD_Currency FNumber,FCODE`

// TestReferenceKeys proves that every form and field of reference 4 can be asked
// for, in any letter case (SIM-K58).
func TestReferenceKeys(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	for line := range strings.Lines(strings.TrimSpace(queryKeys)) {
		form, keys, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, asked := range []string{keys, strings.ToUpper(keys), strings.ToLower(keys)} {
			if got := w.query(session, fmt.Sprintf(`{"FormId":%q,"FieldKeys":%q,"Limit":5}`, form, asked)); !strings.HasPrefix(got, "[") || strings.Contains(got, "MsgCode") {
				t.Errorf("%s %s: %s", form, asked, got)
			}
		}
	}
}

// TestApprovalList proves that what waits for somebody can be asked for by the
// internal id of the user, and that nobody writes it.
func TestApprovalList(t *testing.T) {
	w := startOffice(t)
	session := w.session()
	user := strings.Trim(w.query(session, `{"FormId":"SEC_User","FieldKeys":"FUserID","FilterString":"FName='zhangsan'"}`), "[]")
	for _, status := range []string{"0", "1"} {
		if _, err := w.sim.Put("", kingdeesim.Document{Form: "WF_AssignmentBill", Model: map[string]any{
			"FTitle": "审批 " + status, "FReceiverId": map[string]any{"FUserID": user}, "FSTATUS": status, "FCREATETIME": "2026-05-04 09:00:00",
		}}); err != nil {
			t.Fatal(err)
		}
	}
	got := w.query(session, `{"FormId":"WF_AssignmentBill","FieldKeys":"FTitle,FCREATETIME,FReceiverId","FilterString":"FReceiverId=`+user+` and FSTATUS='0'"}`)
	if got != `[["审批 0","2026-05-04T09:00:00",`+user+`]]` {
		t.Error(got)
	}
	if got := w.write(session, "Save", "WF_AssignmentBill", `{"Model":{"FTitle":"x"}}`); got.Result.ResponseStatus.MsgCode != 12 {
		t.Errorf("%+v", got)
	}
}
