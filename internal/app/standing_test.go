package app

import (
	"testing"

	"kdgate/identity"
	"kdgate/mapping"
)

// T40: who works in a proxied data centre is held to their row as it is now,
// whoever changed it; whoever has none, or cannot be asked about, stays.
func TestStanding(t *testing.T) {
	r := newRig(t)
	s := r.serve(r.load())
	who, by := identity.Subject{Corp: "dingcorp1", UserID: "1001"}, mapping.Actor{Name: "cli:test", Admin: true}
	row, err := s.Table().Create(t.Context(), by, mapping.Draft{Key: mapping.KeyOf(who, "live"), StaffNumber: "1001", LoginUser: "zhangsan"})
	must(t, err)
	held := standing{index: s.index, table: func() *mapping.Table { return s.Table() }, dataCentre: "live"}
	stands := func(loginUser string) bool { return held.Stands(t.Context(), who, loginUser) }
	known := func(want bool) func() bool {
		return func() bool {
			opens, sure := s.index.Opens(row.Key(), "zhangsan")
			return sure && opens == want
		}
	}
	eventually(t, "the index knows the row", known(true))
	if !stands("zhangsan") || stands("somebody-else") {
		t.Error("the row does not hold its person to its login user")
	}
	row, err = s.Table().Suspend(t.Context(), by, row.Key(), "test")
	must(t, err)
	eventually(t, "the index knows the suspension", known(false))
	if stands("zhangsan") {
		t.Error("a suspended person stands")
	}
	row, err = s.Table().Reinstate(t.Context(), by, row.Key(), row.Version)
	must(t, err)
	if !stands("zhangsan") { // also where the index is still behind
		t.Error("a reinstated person does not stand")
	}
	eventually(t, "the index knows the reinstatement", known(true))
	other := "lisi"
	_, err = s.Table().Change(t.Context(), by, row.Key(), mapping.Edit{Version: row.Version, LoginUser: &other})
	must(t, err)
	eventually(t, "the index knows the change", known(false))
	if stands("zhangsan") {
		t.Error("whoever is mapped to somebody else stands as before")
	}
	for name, one := range map[string]standing{
		"no row":   {index: s.index, table: held.table, dataCentre: "test"},
		"not read": {index: mapping.NewIndex(s.store, nil), table: held.table, dataCentre: "live"},
	} {
		if !one.Stands(t.Context(), who, "zhangsan") {
			t.Errorf("%s: out", name)
		}
	}
}
