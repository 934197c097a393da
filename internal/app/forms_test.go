package app

import (
	"reflect"
	"slices"
	"testing"

	"kdgate/internal/config"
	"kdgate/kingdee"
)

// TestEveryFormKeyHasAPlace: the configuration's names and the client's keys are
// the same set, so that no key of a record is a constant.
func TestEveryFormKeyHasAPlace(t *testing.T) {
	var forms kingdee.FormsConfig
	places := formPlaces(&forms)
	for _, name := range config.FormKeys() {
		place := places[name]
		if place == nil {
			t.Errorf("%s has no place", name)
			continue
		}
		if *place != "" {
			t.Errorf("%s shares its place with %s", name, *place)
		}
		*place = name
	}
	for _, part := range []any{forms.Staff, forms.Department, forms.Position, forms.Post, forms.Stock, forms.Attachment} {
		value := reflect.ValueOf(part)
		for i := range value.NumField() {
			if value.Field(i).String() == "" {
				t.Errorf("%s.%s cannot be set", value.Type().Name(), value.Type().Field(i).Name)
			}
		}
	}
	set := kingdeeForms(config.Forms{Keys: []config.FormKey{{Of: "staff.mobile", Key: "F_KD_Mobile"}}, Bills: []config.BillForm{{Form: "X", Remark: "FNote"}}})
	if set.Staff.Mobile != "F_KD_Mobile" || set.Bills["X"].Remark != "FNote" || slices.Contains(config.FormKeys(), "") {
		t.Errorf("%+v", set)
	}
}
