package rulebook_test

import (
	"strings"
	"testing"

	"kdgate/jobs/approval/rulebook"
	"kdgate/store"
	"kdgate/store/storetest"
)

// keyBelow is the one key below a prefix.
func (r *rig) keyBelow(prefix string) string {
	r.Helper()
	page, err := r.store.Scan(r.Context(), prefix, "", 10)
	r.must(err)
	if len(page) != 1 {
		r.Fatalf("%d entries below %s", len(page), prefix)
	}
	return page[0].Key
}

// TestUnknownMembersOfTheBook proves R54 for rules of the console and their
// switches: what a newer release wrote stays when this one writes a newer text or
// switches the rule off.
func TestUnknownMembersOfTheBook(t *testing.T) {
	r := newRig(t)
	first := r.save(good, "")
	r.must(r.book.NoteTried(t.Context(), rulebook.Tried{Print: first.Print, Instance: "in1", By: admin.Name}))
	r.must(r.book.Switch(t.Context(), admin, loan, first.Print, true))
	written := storetest.Future(t, r.store, r.keyBelow("approval/book/rule/"))
	decided := storetest.Future(t, r.store, r.keyBelow("approval/book/switch/"))
	r.must(r.book.Refresh(t.Context()))
	r.save(good+"audit: true\n", first.Print)
	r.must(r.book.Switch(t.Context(), admin, loan, first.Print, false))
	written()
	decided()
}

// TestVersionOfANewerRelease proves R54 where a rule acts: a version that holds
// what this release does not know makes no bill here, and the rule says why.
func TestVersionOfANewerRelease(t *testing.T) {
	r := newRig(t)
	first := r.save(good, "")
	r.must(r.book.NoteTried(t.Context(), rulebook.Tried{Print: first.Print, Instance: "in1", By: admin.Name}))
	r.must(r.book.Switch(t.Context(), admin, loan, first.Print, true))
	r.within("approval/version/"+first.Print, `"rule":{`, `"rule":{"unless":"amount > 5000",`)
	r.must(r.book.Refresh(t.Context()))
	s, rules := r.standing()
	if s.Acting != "" || len(rules) != 0 || s.Fault == nil || !strings.Contains(s.Fault.Error(), "newer release") {
		t.Errorf("%+v %+v", s, rules)
	}
}

// within changes the text of an entry.
func (r *rig) within(key, from, to string) {
	r.Helper()
	entry, err := r.store.Get(r.Context(), key)
	r.must(err)
	value := strings.Replace(string(entry.Value), from, to, 1)
	r.must(r.store.Commit(r.Context(), store.Replace(key, []byte(value), entry.Version)))
}
