package dingtalksim

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

func (s *Server) postPerson(r *http.Request, body []byte) (int, any, error) {
	var where struct {
		Corp string `json:"corp"`
	}
	var p Person
	if err := errors.Join(json.Unmarshal(body, &where), json.Unmarshal(body, &p)); err != nil {
		return 0, nil, err
	}
	m, err := s.AddPerson(where.Corp, p)
	if err == nil && wantsEvent(r) {
		err = s.emitPerson(m.Corp, nil, m.Person)
	}
	return http.StatusCreated, m, err
}

func (s *Server) getPerson(r *http.Request, _ []byte) (int, any, error) {
	c, _, err := s.place(r.PathValue("userid"), r.URL.Query().Get("corp"), "")
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, Member{c.id, *c.dir.person(r.PathValue("userid"))}, nil
}

// patchPerson changes the members given and leaves the others.
func (s *Server) patchPerson(r *http.Request, body []byte) (int, any, error) {
	var before Person
	m, err := s.ChangePerson(r.URL.Query().Get("corp"), r.PathValue("userid"), func(p *Person) error {
		before = *p
		fresh := before
		forgetLists(body, &fresh)
		if err := json.Unmarshal(body, &fresh); err != nil {
			return err
		}
		*p = fresh
		return nil
	})
	if err == nil && wantsEvent(r) {
		err = s.emitPerson(m.Corp, &before, m.Person)
	}
	return http.StatusOK, m, err
}

func (s *Server) deletePerson(r *http.Request, _ []byte) (int, any, error) {
	q := r.URL.Query()
	m, err := s.RemovePerson(q.Get("corp"), r.PathValue("userid"), q.Get("reason"))
	if err == nil && wantsEvent(r) {
		stayed := m.Person
		stayed.Left = time.Time{}
		err = s.emitPerson(m.Corp, &stayed, m.Person)
	}
	return http.StatusOK, m, err
}

// forgetLists empties the lists that body will set, so that decoding does not
// write into the memory of the person as it was.
func forgetLists(body []byte, p *Person) {
	given := map[string]json.RawMessage{}
	_ = json.Unmarshal(body, &given) // a body that is no object fails in a moment
	for name := range given {
		switch name {
		case "dept_id_list":
			p.Departments = nil
		case "leader_of":
			p.LeaderOf = nil
		case "role_list":
			p.Roles = nil
		}
	}
}
