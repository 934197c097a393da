package config

import (
	"fmt"
	"slices"
	"strings"

	"kdgate/internal/lazyregexp"
)

// Forms says how records are written and listed. Customers extend forms, so
// every key is a setting; what is not named keeps the vendor's.
type Forms struct {
	Organisation string     `mapstructure:"organisation" default:"100" doc:"number of the organisation that new records belong to"`
	BatchRows    int        `mapstructure:"batch_rows" default:"20" doc:"records of one BatchSave, 1 to 20"`
	ModifyDate   string     `mapstructure:"modify_date" default:"FModifyDate" doc:"field of the last change, on every form"`
	Keys         []FormKey  `mapstructure:"keys" doc:"field keys and form ids that differ from the vendor's"`
	Bills        []BillForm `mapstructure:"bills" doc:"document forms beside those of the vendor"`
}

// FormKey replaces one key.
type FormKey struct {
	Of  string `mapstructure:"of" doc:"which one, for example staff.mobile or department.form"`
	Key string `mapstructure:"key" doc:"field key or form id on this server"`
}

// BillForm are the keys of one document form.
type BillForm struct {
	Form   string `mapstructure:"form" doc:"form id"`
	ID     string `mapstructure:"id" default:"FID" doc:"primary key"`
	Number string `mapstructure:"number" default:"FBillNo" doc:"bill number"`
	Remark string `mapstructure:"remark" doc:"field that takes the id of the approval"`
	Entry  string `mapstructure:"remark_entry" doc:"entry whose first row has that field; empty: it is one of the head"`
	Runs   bool   `mapstructure:"numbered_by_kingdee" default:"false" doc:"Kingdee numbers these documents itself; no number is sent"`
	Status string `mapstructure:"status" default:"FDocumentStatus" doc:"document status"`
}

// FormKeys are the names that forms.keys may use, by the record they are of.
func FormKeys() []string {
	var list []string
	for _, group := range [][2]string{
		{"staff", "id name forbid_status document_status user_name save_number mobile email join_date create_org use_org login_user create_user department position entries entry_id entry_org entry_dept entry_post entry_start entry_primary primary"},
		{"department", "form id number name full_name parent create_org use_org forbid_status document_status"},
		{"position", "form id number name department create_org use_org effect_date lapse_date forbid_status document_status"},
		{"post", "id person_number number person employee department position create_org use_org start_date primary primary_in forbid_status document_status"},
		{"user", "id account forbid_status locked link_number forbid enable"},
		{"attachment", "form id bill record name alias"},
		{"stock", "form id material material_name stock organisation quantity material_form material_id material_number material_title safety_stock forbid_status document_status"},
	} {
		for name := range strings.FieldsSeq(group[1]) {
			list = append(list, group[0]+"."+name)
		}
	}
	return list
}

var formKey = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_.]{0,79}$`)

func checkForms(m *Mistakes, at string, f Forms) {
	if f.BatchRows < 1 || f.BatchRows > 20 {
		m.add("%s.batch_rows: %d; 1 to 20", at, f.BatchRows)
	}
	known := FormKeys()
	for i, key := range f.Keys {
		if !slices.Contains(known, key.Of) {
			m.add("%s.keys[%d].of: %q is none of %s", at, i, key.Of, strings.Join(known, ", "))
		}
		checkKey(m, fmt.Sprintf("%s.keys[%d].key", at, i), key.Key)
	}
	for i, bill := range f.Bills {
		checkKey(m, fmt.Sprintf("%s.bills[%d].form", at, i), bill.Form)
	}
}

func checkKey(m *Mistakes, name, key string) {
	if !formKey().MatchString(key) {
		m.add("%s: %q is neither a field key nor a form id", name, key)
	}
}
