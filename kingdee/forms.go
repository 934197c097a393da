package kingdee

import (
	"cmp"
	"maps"
	"slices"
)

// FormsConfig says how records are written and listed: which forms, which field
// keys. Customers extend forms, so all of it is a setting with the default named
// (reference 4).
type FormsConfig struct {
	BatchRows    int    // records a BatchSave, 1–20, default 20 (reference 3.6)
	Organisation string // number of the organisation that new records belong to; default "100"
	ModifyDate   string // field of the last change on every form; default FModifyDate

	Staff      StaffForm
	Department DepartmentForm
	Position   PositionForm
	Post       PostForm

	// Bills are the document forms by form id; those of the vendor's that are
	// known are there by default.
	Bills map[string]BillForm

	// Attachment are the keys of the files that stand at records.
	Attachment AttachmentForm

	// SafetyStock is the material's lower bound as seen from STK_Inventory, and
	// Stock the form itself.
	Stock StockForm
}

// StaffForm are the keys of BD_Empinfo that are written or listed beside those
// of UsersConfig.Staff.
type StaffForm struct {
	SaveNumber   string // default FStaffNumber
	Mobile       string // FMobile
	Email        string // FEmail
	JoinDate     string // FJoinDate
	CreateOrg    string // FCreateOrgId
	UseOrg       string // FUseOrgId
	LoginUser    string // FUserId
	CreateUser   string // FCreateUser, a flag: also make a login user
	Department   string // FPostDept.FNumber, listed
	Position     string // FPost.FNumber, listed
	Primary      string // FIsFirstPost, listed: the mark of the post that stands for the record; None: the first one does
	Entries      string // FPostEntity
	EntryID      string // FENTRYID
	EntryOrg     string // FWorkOrgId
	EntryDept    string // FPostDept
	EntryPost    string // FPost
	EntryStart   string // FStaffStartDate
	EntryPrimary string // FIsFirstPost
}

// DepartmentForm are the keys of BD_Department.
type DepartmentForm struct {
	Form, ID, Number, Name, FullName string // BD_Department, FDEPTID, FNumber, FName, FFullName
	Parent                           string // FParentID
	CreateOrg, UseOrg                string // FCreateOrgId, FUseOrgId
	ForbidStatus, DocumentStatus     string // FForbidStatus, FDocumentStatus
}

// PositionForm are the keys of HR_ORG_HRPOST.
type PositionForm struct {
	Form, ID, Number, Name       string // HR_ORG_HRPOST, FPOSTID, FNumber, FName
	Department                   string // FDept
	CreateOrg, UseOrg            string // FCreateOrgId, FUseOrgId
	EffectDate, LapseDate        string // FEffectDate, FLapseDate
	ForbidStatus, DocumentStatus string // FForbidStatus, FDocumentStatus
}

// PostForm are the keys of BD_NEWSTAFF that are written or listed beside those
// of UsersConfig.Post.
type PostForm struct {
	Number                       string // FNumber
	Person, Employee             string // FPerson, FEmpInfoId
	Department, Position         string // FDept, FPosition
	CreateOrg, UseOrg            string // FCreateOrgId, FUseOrgId
	StartDate                    string // FStartDate
	Primary                      string // FIsFirstPost
	PrimaryIn                    string // FPOSTBILLEntity, the sub-head that a Save takes it in; None: the head
	ForbidStatus, DocumentStatus string // FForbidStatus, FDocumentStatus
}

// BillForm are the keys that look-ups of a document need.
type BillForm struct {
	ID     string // primary key, default FID
	Number string // default FBillNo
	Remark string // where the id of the approval stands; empty: looked up by number only
	Entry  string // the entry that Remark is a field of; empty: it is one of the head
	Status string // default FDocumentStatus

	// Runs says that Kingdee numbers such documents itself, one after the other:
	// their number names them only within a period, and no Save sends one. A Save
	// then asks Kingdee to refuse the same data twice (SIM-K65).
	Runs bool
}

// AttachmentForm are the keys of the form that lists files at records. The
// reference does not have it; public clients query it by these.
type AttachmentForm struct {
	Form   string // BOS_Attachment; None: this server cannot be asked
	ID     string // FID
	Bill   string // form of the record, FBillType
	Record string // internal id of the record, FInterID
	Name   string // FAttachmentName
	Alias  string // FaliasFileName
}

// StockForm are the keys of the stock on hand.
type StockForm struct {
	Form                         string // STK_Inventory
	ID                           string // FID
	Material, MaterialName       string // FMaterialId.FNumber, FMaterialId.FName
	Stock, Organisation          string // FStockId.FNumber, FStockOrgId.FNumber
	Quantity                     string // FBaseQty
	MaterialForm                 string // BD_MATERIAL
	MaterialID, MaterialNumber   string // FMATERIALID, FNumber
	MaterialTitle, SafetyStock   string // FName, FSafeStock
	ForbidStatus, DocumentStatus string // FForbidStatus, FDocumentStatus, of the material
}

func formsDefaults(f FormsConfig) FormsConfig {
	f.BatchRows = cmp.Or(f.BatchRows, 20)
	f.Organisation = cmp.Or(f.Organisation, "100")
	f.ModifyDate = cmp.Or(f.ModifyDate, "FModifyDate")
	s := &f.Staff
	orKeys(map[*string]string{
		&s.SaveNumber: "FStaffNumber", &s.Mobile: "FMobile", &s.Email: "FEmail", &s.JoinDate: "FJoinDate",
		&s.CreateOrg: "FCreateOrgId", &s.UseOrg: "FUseOrgId", &s.LoginUser: "FUserId", &s.CreateUser: "FCreateUser",
		&s.Department: "FPostDept.FNumber", &s.Position: "FPost.FNumber", &s.Entries: "FPostEntity", &s.EntryID: "FENTRYID",
		&s.EntryOrg: "FWorkOrgId", &s.EntryDept: "FPostDept", &s.EntryPost: "FPost", &s.EntryStart: "FStaffStartDate", &s.EntryPrimary: "FIsFirstPost", &s.Primary: "FIsFirstPost",
	})
	d, h, p := &f.Department, &f.Position, &f.Post
	orKeys(map[*string]string{
		&d.Form: "BD_Department", &d.ID: "FDEPTID", &d.Number: "FNumber", &d.Name: "FName", &d.FullName: "FFullName", &d.Parent: "FParentID",
		&d.CreateOrg: "FCreateOrgId", &d.UseOrg: "FUseOrgId", &d.ForbidStatus: "FForbidStatus", &d.DocumentStatus: "FDocumentStatus",
	})
	orKeys(map[*string]string{
		&h.Form: "HR_ORG_HRPOST", &h.ID: "FPOSTID", &h.Number: "FNumber", &h.Name: "FName", &h.Department: "FDept",
		&h.CreateOrg: "FCreateOrgId", &h.UseOrg: "FUseOrgId", &h.EffectDate: "FEffectDate", &h.LapseDate: "FLapseDate",
		&h.ForbidStatus: "FForbidStatus", &h.DocumentStatus: "FDocumentStatus",
	})
	orKeys(map[*string]string{
		&p.Number: "FNumber", &p.Person: "FPerson", &p.Employee: "FEmpInfoId", &p.Department: "FDept", &p.Position: "FPosition",
		&p.CreateOrg: "FCreateOrgId", &p.UseOrg: "FUseOrgId", &p.StartDate: "FStartDate", &p.Primary: "FIsFirstPost", &p.PrimaryIn: "FPOSTBILLEntity",
		&p.ForbidStatus: "FForbidStatus", &p.DocumentStatus: "FDocumentStatus",
	})
	f.Stock = stockDefaults(f.Stock)
	f.Bills = billDefaults(f.Bills)
	a := &f.Attachment
	orKeys(map[*string]string{
		&a.Form: "BOS_Attachment", &a.ID: "FID", &a.Bill: "FBillType", &a.Record: "FInterID", &a.Name: "FAttachmentName", &a.Alias: "FaliasFileName",
	})
	return f
}

func stockDefaults(s StockForm) StockForm {
	orKeys(map[*string]string{
		&s.Form: "STK_Inventory", &s.ID: "FID", &s.Material: "FMaterialId.FNumber", &s.MaterialName: "FMaterialId.FName",
		&s.Stock: "FStockId.FNumber", &s.Organisation: "FStockOrgId.FNumber", &s.Quantity: "FBaseQty",
		&s.MaterialForm: "BD_MATERIAL", &s.MaterialID: "FMATERIALID", &s.MaterialNumber: "FNumber", &s.MaterialTitle: "FName",
		&s.SafetyStock: "FSafeStock", &s.ForbidStatus: "FForbidStatus", &s.DocumentStatus: "FDocumentStatus",
	})
	return s
}

// billDefaults knows the vendor's forms and completes the configured ones.
func billDefaults(given map[string]BillForm) map[string]BillForm {
	out := map[string]BillForm{
		"ER_ExpReimbursement":        {Remark: "FCausa"},
		"ER_ExpReimbursement_Travel": {Remark: "FCausa"},
		"ER_ExpenseRequest":          {Remark: "FReason"},
		"PUR_Requisition":            {Remark: "FNote"},
		"SAL_SaleOrder":              {Remark: "FNote"},
		"GL_VOUCHER":                 {ID: "FVoucherID", Number: "FNumber", Remark: "FEXPLANATION", Entry: "FEntity", Runs: true},
	}
	maps.Copy(out, given)
	for form, keys := range out {
		orKeys(map[*string]string{&keys.ID: "FID", &keys.Number: "FBillNo", &keys.Status: "FDocumentStatus"})
		out[form] = keys
	}
	return out
}

func orKeys(defaults map[*string]string) {
	for key, value := range defaults {
		if *key == "" {
			*key = value
		}
	}
}

func (p *problems) forms(f FormsConfig) {
	p.check(f.BatchRows >= 1 && f.BatchRows <= 20, "forms.batch_rows: %d is not 1–20", f.BatchRows)
	p.check(cleanToken(f.Organisation), "forms.organisation: %q is not letters, digits, _ and -", f.Organisation)
	s, d, h, o, k, a := f.Staff, f.Department, f.Position, f.Post, f.Stock, f.Attachment
	keys := []string{
		f.ModifyDate, a.Form, a.ID, a.Bill, a.Record, a.Name, a.Alias,
		s.SaveNumber, s.Mobile, s.Email, s.JoinDate, s.CreateOrg, s.UseOrg, s.LoginUser, s.CreateUser, s.Department, s.Position,
		s.Entries, s.EntryID, s.EntryOrg, s.EntryDept, s.EntryPost, s.EntryStart, s.EntryPrimary, s.Primary,
		d.Form, d.ID, d.Number, d.Name, d.FullName, d.Parent, d.CreateOrg, d.UseOrg, d.ForbidStatus, d.DocumentStatus,
		h.Form, h.ID, h.Number, h.Name, h.Department, h.CreateOrg, h.UseOrg, h.EffectDate, h.LapseDate, h.ForbidStatus, h.DocumentStatus,
		o.Number, o.Person, o.Employee, o.Department, o.Position, o.CreateOrg, o.UseOrg, o.StartDate, o.Primary, o.PrimaryIn, o.ForbidStatus, o.DocumentStatus,
		k.Form, k.ID, k.Material, k.MaterialName, k.Stock, k.Organisation, k.Quantity,
		k.MaterialForm, k.MaterialID, k.MaterialNumber, k.MaterialTitle, k.SafetyStock, k.ForbidStatus, k.DocumentStatus,
	}
	for _, form := range slices.Sorted(maps.Keys(f.Bills)) {
		b := f.Bills[form]
		keys = append(keys, form, b.ID, b.Number, b.Status)
		p.check(b.Remark == "" || formKey(b.Remark), "forms.bills.%s: %q is not a field key", form, b.Remark)
		p.check(b.Entry == "" || formKey(b.Entry), "forms.bills.%s: %q is not an entry's key", form, b.Entry)
	}
	for _, key := range keys {
		p.check(formKey(key), "forms: %q is not a form id or field key", key)
	}
}
