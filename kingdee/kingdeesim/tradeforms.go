package kingdeesim

// tradeForms are purchase requests, sales orders, stock on hand and the base data
// that documents refer to. The keys of PUR_Requisition and SAL_SaleOrder are not
// in the reference; they are the usual ones, and assumed.
func tradeForms() []*docForm {
	all := []*docForm{purchaseRequest(), salesOrder(), stockOnHand(), approvals()}
	for _, b := range []struct{ id, key string }{
		{formStock, "FStockId"},
		{"BD_Customer", "FCUSTID"},
		{"BD_Supplier", "FSupplierId"},
		{"BD_Expense", "FEXPID"},
		{"BD_UNIT", "FUNITID"},
		{"BD_Account", "FACCTID"},
		{"BD_AccountBook", "FBOOKID"},
		{"BD_VOUCHERGROUP", "FVCHGROUPID"},
		{"BD_RateType", "FRATETYPEID"},
		{"BOS_BillType", "FBILLTYPEID"},
	} {
		all = append(all, baseForm(b.id, b.key))
	}
	material := baseForm(formMaterial, "FMATERIALID")
	for _, key := range []string{"FMinStock", "FSafeStock", "FReOrderGood", "FEconReOrderQty", "FMaxStock"} {
		material.head = append(material.head, docField{key: key, kind: kindDecimal})
	}
	return append(all, material)
}

func purchaseRequest() *docForm {
	return &docForm{
		id: "PUR_Requisition", key: "FID", number: "FBillNo", prefix: "CGSQ", dated: "FApplicationDate",
		head: []docField{
			{key: "FBillTypeID", kind: kindRef, form: "BOS_BillType"},
			{key: "FApplicationDate", kind: kindDate, must: true},
			{key: "FApplicationOrgId", kind: kindRef, form: formOrganisation, must: true},
			{key: "FApplicationDeptId", kind: kindRef, form: formDepartment},
			{key: "FApplicantId", kind: kindRef, form: formStaff},
			{key: "FRequestType"},
			{key: "FNote", searched: true},
		},
		entry: "FEntity", shown: "ReqEntry",
		lines: []docField{
			{key: "FMaterialId", kind: kindRef, form: formMaterial, must: true},
			{key: "FUnitId", kind: kindRef, form: "BD_UNIT"},
			{key: "FReqQty", kind: kindDecimal, must: true},
			{key: "FArrivalDate", kind: kindDate},
			{key: "FEntryNote"},
		},
	}
}

func salesOrder() *docForm {
	return &docForm{
		id: "SAL_SaleOrder", key: "FID", number: "FBillNo", prefix: "XSDD", dated: "FDate",
		head: []docField{
			{key: "FBillTypeID", kind: kindRef, form: "BOS_BillType"},
			{key: "FDate", kind: kindDate, must: true},
			{key: "FSaleOrgId", kind: kindRef, form: formOrganisation, must: true},
			{key: "FCustId", kind: kindRef, form: "BD_Customer", must: true},
			{key: "FSalerId", kind: kindRef, form: formStaff},
			{key: "FSaleDeptId", kind: kindRef, form: formDepartment},
			{key: "FNote", searched: true},
		},
		entry: "FSaleOrderEntry", shown: "SaleOrderEntry",
		lines: []docField{
			{key: "FMaterialId", kind: kindRef, form: formMaterial, must: true},
			{key: "FUnitID", kind: kindRef, form: "BD_UNIT"},
			{key: "FQty", kind: kindDecimal, must: true},
			{key: "FPrice", kind: kindDecimal},
			{key: "FTaxPrice", kind: kindDecimal},
			{key: "FDeliveryDate", kind: kindDate},
			{key: "FEntryNote"},
		},
	}
}

func stockOnHand() *docForm {
	return &docForm{
		id: "STK_Inventory", key: "FID", number: "FInventoryNo", prefix: "KC", readOnly: true,
		head: []docField{
			{key: "FMaterialId", kind: kindRef, form: formMaterial},
			{key: "FStockId", kind: kindRef, form: formStock},
			{key: "FStockOrgId", kind: kindRef, form: formOrganisation},
			{key: "FQty", kind: kindDecimal},
			{key: "FBaseQty", kind: kindDecimal},
			{key: "FAVBQty", kind: kindDecimal},
			{key: "FBaseAVBQty", kind: kindDecimal},
			{key: "FLot"},
			{key: "FLot.FNumber"},
			{key: "FStockStatusId"},
			{key: "FMtoNo"},
			{key: "FOwnerId"},
			{key: "FKeeperId"},
		},
	}
}

// approvals is the to-do list of the workflow, which nobody writes through the Web
// API (reference 4.2); FSTATUS 0 is what waits.
func approvals() *docForm {
	return &docForm{
		id: "WF_AssignmentBill", key: "FASSIGNID", number: "FNumber", prefix: "DB", readOnly: true,
		head: []docField{
			{key: "FTitle"},
			{key: "FCONTENT"},
			{key: "FCREATETIME", kind: kindDate},
			{key: "FReceiverId", kind: kindRef, form: "SEC_User"},
			{key: "FSTATUS"},
			{key: "FTmpId.FProcessType"},
		},
	}
}

// baseForm is base data of which only number and name matter here.
func baseForm(id, key string) *docForm {
	return &docForm{
		id: id, key: key, number: "FNumber", title: "FName", prefix: "N",
		head: []docField{
			{key: "FName", must: true},
			{key: "FCreateOrgId", kind: kindRef, form: formOrganisation},
			{key: "FUseOrgId", kind: kindRef, form: formOrganisation},
		},
	}
}

// commonBaseData is what every data centre has from the start.
func commonBaseData() []Document {
	var out []Document
	for _, one := range [][3]string{
		{"BOS_BillType", "FYBXD001_SYS", "费用报销单"},
		{"BOS_BillType", "CLFBX001_SYS", "差旅费报销单"},
		{"BOS_BillType", "CGSQD01_SYS", "标准采购申请"},
		{"BOS_BillType", "XSDD01_SYS", "标准销售订单"},
		{"BD_Expense", "CI001", "差旅费"},
		{"BD_Expense", "CI002", "办公费"},
		{"BD_Expense", "CI003", "招待费"},
		{"BD_VOUCHERGROUP", "PRE001", "记"},
		{"BD_AccountBook", "001", "主账簿"},
		{"BD_RateType", "HLTX01_SYS", "固定汇率"},
		{"BD_Account", "1001", "库存现金"},
		{"BD_Account", "1002", "银行存款"},
		{"BD_Account", "2241", "其他应付款"},
		{"BD_Account", "6602", "管理费用"},
		{"BD_UNIT", "Pcs", "个"},
		{formStock, "CK001", "原材料仓"},
		{"BD_Customer", "CUST0001", "第一客户"},
		{"BD_Supplier", "VEN00001", "第一供应商"},
	} {
		out = append(out, Document{Form: one[0], Model: map[string]any{"FNumber": one[1], "FName": one[2]}})
	}
	return out
}
