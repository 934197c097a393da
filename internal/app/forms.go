package app

import (
	"kdgate/internal/config"
	"kdgate/kingdee"
)

// kingdeeForms are the form ids and field keys of a data centre: the vendor's,
// but for what the configuration names.
func kingdeeForms(forms config.Forms) kingdee.FormsConfig {
	f := kingdee.FormsConfig{Organisation: forms.Organisation, BatchRows: forms.BatchRows, ModifyDate: forms.ModifyDate}
	places := formPlaces(&f)
	for _, key := range forms.Keys {
		*places[key.Of] = key.Key // the configuration knows only these names
	}
	for _, bill := range forms.Bills {
		if f.Bills == nil {
			f.Bills = map[string]kingdee.BillForm{}
		}
		f.Bills[bill.Form] = kingdee.BillForm{
			ID: bill.ID, Number: bill.Number, Remark: bill.Remark, Entry: bill.Entry, Status: bill.Status, Runs: bill.Runs,
		}
	}
	return f
}

// formPlaces says where each name of config.FormKeys stands.
func formPlaces(f *kingdee.FormsConfig) map[string]*string {
	s, d, h, p, k, a := &f.Staff, &f.Department, &f.Position, &f.Post, &f.Stock, &f.Attachment
	return map[string]*string{
		"attachment.form": &a.Form, "attachment.id": &a.ID, "attachment.bill": &a.Bill, "attachment.record": &a.Record,
		"attachment.name": &a.Name, "attachment.alias": &a.Alias,
		"staff.save_number": &s.SaveNumber, "staff.mobile": &s.Mobile, "staff.email": &s.Email, "staff.join_date": &s.JoinDate,
		"staff.create_org": &s.CreateOrg, "staff.use_org": &s.UseOrg, "staff.login_user": &s.LoginUser, "staff.create_user": &s.CreateUser,
		"staff.department": &s.Department, "staff.position": &s.Position, "staff.entries": &s.Entries, "staff.entry_id": &s.EntryID,
		"staff.entry_org": &s.EntryOrg, "staff.entry_dept": &s.EntryDept, "staff.entry_post": &s.EntryPost, "staff.entry_start": &s.EntryStart,
		"staff.entry_primary": &s.EntryPrimary,
		"department.form":     &d.Form, "department.id": &d.ID, "department.number": &d.Number, "department.name": &d.Name,
		"department.full_name": &d.FullName, "department.parent": &d.Parent, "department.create_org": &d.CreateOrg,
		"department.use_org": &d.UseOrg, "department.forbid_status": &d.ForbidStatus, "department.document_status": &d.DocumentStatus,
		"position.form": &h.Form, "position.id": &h.ID, "position.number": &h.Number, "position.name": &h.Name,
		"position.department": &h.Department, "position.create_org": &h.CreateOrg, "position.use_org": &h.UseOrg,
		"position.effect_date": &h.EffectDate, "position.lapse_date": &h.LapseDate, "position.forbid_status": &h.ForbidStatus,
		"position.document_status": &h.DocumentStatus,
		"post.number":              &p.Number, "post.person": &p.Person, "post.employee": &p.Employee, "post.department": &p.Department,
		"post.position": &p.Position, "post.create_org": &p.CreateOrg, "post.use_org": &p.UseOrg, "post.start_date": &p.StartDate,
		"post.primary": &p.Primary, "post.forbid_status": &p.ForbidStatus, "post.document_status": &p.DocumentStatus,
		"stock.form": &k.Form, "stock.id": &k.ID, "stock.material": &k.Material, "stock.material_name": &k.MaterialName, "stock.stock": &k.Stock,
		"stock.organisation": &k.Organisation, "stock.quantity": &k.Quantity, "stock.material_form": &k.MaterialForm,
		"stock.material_id": &k.MaterialID, "stock.material_number": &k.MaterialNumber, "stock.material_title": &k.MaterialTitle,
		"stock.safety_stock": &k.SafetyStock, "stock.forbid_status": &k.ForbidStatus, "stock.document_status": &k.DocumentStatus,
	}
}
