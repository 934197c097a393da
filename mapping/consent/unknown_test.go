package consent_test

import (
	"testing"

	"kdgate/mapping/consent"
	"kdgate/store/storetest"
)

// TestUnknownMembersOfWords proves R54 for the register, whose rows are read and
// written for years: what a newer release knows of a person and of what they said
// before stays when they say something else here.
func TestUnknownMembersOfWords(t *testing.T) {
	o := open(t)
	admin := consent.Actor{Name: "cli:test"}
	note := func(state consent.State) {
		t.Helper()
		_, err := o.Note(t.Context(), admin, person("1001"), consent.Word{State: state, Version: "2026-1", Way: consent.Self})
		must(t, err)
	}
	note(consent.Given)
	kept := storetest.Future(t, o.store, "consent/dingcorp1/1001")
	note(consent.Withdrawn)
	kept()
	row, there, err := o.Of(t.Context(), person("1001"))
	if err != nil || !there || len(row.Before) != 1 || len(row.Before[0].Unknown) == 0 {
		t.Errorf("%+v %t %v", row, there, err)
	}
	note(consent.Given)
	kept()
}
