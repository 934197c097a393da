package chaos

import (
	"testing"

	"kdgate/store/storetest"
)

// TestHopping proves F-logins over replicas without sticky sessions: every
// request of a sign-in takes any of two replicas, by both doors.
func TestHopping(t *testing.T) {
	t.Parallel()
	const people = 20
	v := startVendors(t, people)
	e := newEstate(t, v, "url: 'redis://"+storetest.StartRedis(t).Addr+"/0'")
	a, b := e.start("a"), e.start("b")
	addPeople(t, a, people)
	gate := newBalancer(t, a, b)
	for i := range people {
		p := newPerson(v, gate, i)
		if err := p.as(p.signIn(door(i % 2))); err != nil {
			t.Errorf("person %d: %v\n%s", i, err, e.log)
		}
		for range 3 {
			if err := p.as(p.launch(launchPath)); err != nil {
				t.Errorf("person %d, again: %v", i, err)
			}
		}
	}
}
