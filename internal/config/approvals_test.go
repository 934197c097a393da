package config

import (
	"strings"
	"testing"
	"time"
)

// TestDayWithoutQuotes: YAML takes 2026-01-31 for a time, and people write it so.
func TestDayWithoutQuotes(t *testing.T) {
	for _, text := range []string{"2026-01-31", "'2026-01-31'"} {
		_, err := Parse([]byte("approvals: [{since: "+text+"}]"), t.TempDir(), nil)
		if err == nil || strings.Contains(err.Error(), "since") || !strings.Contains(err.Error(), "approvals[0].name") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestApprovals reads a rule with its defaults, and tells every mistake of one.
func TestApprovals(t *testing.T) {
	cfg := Config{
		Corps: []Corp{{ID: "ding1"}}, DataCentres: []DataCentre{{ID: "live"}}, Search: Search{Overlap: time.Hour, LookBack: time.Hour},
		Approvals:     []Approval{{Name: "x", Mode: "on", Source: "approval", OnRefused: "dead", Since: "2026-01-31"}},
		ApprovalFiles: ApprovalFile{MaxSize: 20, MaxMany: 20, Timeout: time.Minute},
	}
	m := &Mistakes{}
	cfg.checkApprovals(m)
	if len(*m) > 0 {
		t.Fatal(*m)
	}
	rule := cfg.Approvals[0]
	if rule.Corp != "ding1" || rule.DataCentre != "live" {
		t.Errorf("%+v", rule)
	}
	if at, err := rule.Begins(); err != nil || !at.Equal(time.Date(2026, 1, 30, 16, 0, 0, 0, time.UTC)) {
		t.Errorf("begins %s %v", at, err)
	}
	cfg.Approvals = []Approval{{Mode: "maybe", OnRefused: "never", Corp: "other", DataCentre: "other", Since: "soon"}}
	cfg.Search.LookBack = 9000 * time.Hour
	cfg.ApprovalFiles = ApprovalFile{MaxSize: 500, MaxMany: -1, Timeout: time.Hour, Types: []string{"pdf", ".exe"}}
	m = &Mistakes{}
	cfg.checkApprovals(m)
	for _, part := range []string{
		"approval_search", "approvals[0].name", "approvals[0].mode", "approvals[0].corp", "approvals[0].data_centre", "approvals[0].since", "approvals[0].on_refused",
		"approval_files.max_mib", "approval_files.max_files", "approval_files.timeout", "approval_files.types[1]",
	} {
		if !strings.Contains(m.Error(), part) {
			t.Errorf("%q is not told: %v", part, m)
		}
	}
}
