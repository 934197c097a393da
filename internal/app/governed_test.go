package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kdgate/audit"
	"kdgate/internal/config"
)

// governed are the records of roles and secrets, the oldest first.
func (s *running) governed() []string {
	s.t.Helper()
	var list []string
	for _, action := range []audit.Action{audit.ActionRoleChange, audit.ActionSecretChange} {
		found, err := s.log.Search(s.t.Context(), audit.Query{Action: action})
		must(s.t, err)
		for _, r := range slices.Backward(found) {
			list = append(list, fmt.Sprintf("%s %s %s>%s %s", r.Action, r.Target, r.Before, r.After, r.Reason))
		}
	}
	return list
}

// T111: who has which role, and that a secret is another one, is on record with
// before and after, whether it changed while the program ran or stood still; what
// a secret is, or was, is nowhere.
func TestRolesAndSecretsAreOnRecord(t *testing.T) {
	r := newRig(t)
	r.text += "admins: [{corp: dingcorp1, userid: '1001', role: admin}]\n"
	const second = "[{corp: dingcorp1, userid: '1001', role: auditor}, {corp: dingcorp1, userid: '1002', role: admin}]"
	want := []string{"secret.change breakglass:breakglass > one-time secret"}
	step := func(what string, s *running, more ...string) {
		t.Helper()
		want = append(want, more...)
		got := s.governed()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	s := r.serve(r.load())
	step("the first configuration", s)
	must(t, s.stop())

	r.put("ding.secret", "ding-secret-0002")
	r.text = strings.Replace(r.text, "[{corp: dingcorp1, userid: '1001', role: admin}]", second, 1)
	s = r.serve(r.load())
	step("changed while nobody ran", s, "role.change dingcorp1/1001 admin>auditor configuration", "role.change dingcorp1/1002 >admin configuration",
		"secret.change corps[0].app_secret > changed")

	loads, err := s.log.Search(t.Context(), audit.Query{Action: audit.ActionConfigLoad})
	if err != nil || len(loads) != 2 || loads[0].Detail["changed"] != "admins" || loads[1].Detail["changed"] != "" {
		t.Errorf("the starts say %+v, %v", loads, err)
	}

	cfg := r.load(", {corp: dingcorp1, userid: '1002', role: admin}", "")
	must(t, s.Reload(t.Context(), func() (*config.Config, error) { return cfg, nil }))
	step("changed while it ran", s, "role.change dingcorp1/1002 admin> configuration")
	must(t, s.stop())

	r.put("new.key", strings.Repeat("n", 32))
	rotated := []string{", {corp: dingcorp1, userid: '1002', role: admin}", "", "seal: {old_key_files: []}", "seal: {key_file: new.key, old_key_files: [data/seal.key]}"}
	for range 2 {
		s = r.serve(r.load(rotated...))
		step("another sealing key", s)
		must(t, s.stop())
	}
	for _, name := range []string{"kdgate.db", "kdgate.db-wal", "audit/audit.db", "audit/audit.db-wal"} {
		text, err := os.ReadFile(filepath.Join(r.dir, "data", name))
		if err == nil && bytes.Contains(text, []byte("ding-secret-000")) {
			t.Errorf("a secret is in %s", name)
		}
	}
}

// T111: what cannot be put on record is not put in force, and is told when it can.
func TestNoRecordNoRole(t *testing.T) {
	r := newRig(t)
	before := r.load()
	r.text += "admins: [{corp: dingcorp1, userid: '1001', role: admin}]\n"
	after := r.load()
	c := r.core(before)
	keys := c.rooms.Load().ring
	_, err := c.noteGoverned(t.Context(), before, keys)
	must(t, err)
	must(t, c.log.Close())
	if _, err := c.noteGoverned(t.Context(), after, keys); err == nil {
		t.Error("a role is given without a record")
	}
	if known, _, err := c.lastGoverned(t.Context()); err != nil || len(known.Roles) != 0 {
		t.Errorf("%v is taken for known: %v", known.Roles, err)
	}
}
