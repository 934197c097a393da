package dingtalksim

import (
	"fmt"
)

// Member is a person together with the organisation they are of.
type Member struct {
	Corp string
	Person
}

// MarshalJSON writes the person's members and "corp".
func (m Member) MarshalJSON() ([]byte, error) {
	body, err := m.Person.MarshalJSON()
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, `{"corp":%q,`, m.Corp), body[1:]...), nil
}

// People lists everybody of every organisation: members, leavers and external
// contacts.
func (s *Server) People() []Member {
	list := []Member{}
	for _, c := range s.corps {
		for _, p := range c.dir.everybody() {
			list = append(list, Member{c.id, p})
		}
	}
	return list
}

// AddPerson adds p to corp, or to the first organisation when corp is empty; a
// leaver of that userid is hired again. It fails with ErrExists or ErrInvalid.
func (s *Server) AddPerson(corp string, p Person) (Member, error) {
	c, err := s.corpNamed(corp)
	if err != nil {
		return Member{}, err
	}
	stored, err := c.dir.add(p, s.clock.now())
	return Member{c.id, stored}, err
}

// ChangePerson runs change on a copy of the person and stores it; the userid
// stays. corp may be empty: the first organisation that has userid.
func (s *Server) ChangePerson(corp, userid string, change func(*Person) error) (Member, error) {
	c, _, err := s.place(userid, corp, "")
	if err != nil {
		return Member{}, err
	}
	stored, err := c.dir.change(userid, s.clock.now(), change)
	return Member{c.id, stored}, err
}

// RemovePerson makes the person a leaver as of now (SIM-D65); reason is oapi,
// cancel, leave, unknown or delete, and leave when empty.
func (s *Server) RemovePerson(corp, userid, reason string) (Member, error) {
	return s.ChangePerson(corp, userid, func(p *Person) error {
		if reason == "" {
			reason = "leave"
		}
		p.Left, p.LeaveReason = s.clock.now(), reason
		return nil
	})
}

// ChangeApp runs change on a copy of the application's settings and stores
// them; key and organisation stay. It fails with ErrNotFound or ErrInvalid.
func (s *Server) ChangeApp(appKey string, change func(*App)) error {
	a := s.apps[appKey]
	if a == nil {
		return fmt.Errorf("dingtalksim: application %q: %w", appKey, ErrNotFound)
	}
	for {
		old := a.cfg.Load()
		next := *old
		change(&next)
		next.Key = appKey
		if err := next.validate(); err != nil {
			return fmt.Errorf("dingtalksim: application %q: %w: %w", appKey, ErrInvalid, err)
		}
		if a.cfg.CompareAndSwap(old, &next) {
			return nil
		}
	}
}
