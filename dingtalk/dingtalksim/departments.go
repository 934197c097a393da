package dingtalksim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// Departments lists the departments of an organisation by id, the root first.
func (s *Server) Departments(corp string) ([]Department, error) {
	c, err := s.corpNamed(corp)
	if err != nil {
		return nil, err
	}
	c.dir.mu.RLock()
	defer c.dir.mu.RUnlock()
	list := slices.Collect(maps.Values(c.dir.depts))
	slices.SortFunc(list, func(a, b Department) int { return cmp.Compare(a.ID, b.ID) })
	return list, nil
}

// PutDepartment adds or replaces a department; corp empty means the first
// organisation. It fails with ErrNotFound or ErrInvalid.
func (s *Server) PutDepartment(corp string, dep Department) error {
	c, err := s.corpNamed(corp)
	if err != nil {
		return err
	}
	d := &c.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	if dep.ParentID == 0 && dep.ID != rootDept {
		dep.ParentID = rootDept
	}
	if dep.ID <= 0 || dep.ID == rootDept && dep.ParentID != 0 || dep.ID != rootDept && !d.hasDept(dep.ParentID) {
		return fmt.Errorf("dingtalksim: department %d below %d: %w", dep.ID, dep.ParentID, ErrInvalid)
	}
	for up := dep.ParentID; up != 0; up = d.depts[up].ParentID {
		if up == dep.ID {
			return fmt.Errorf("dingtalksim: department %d would be its own ancestor: %w", dep.ID, ErrInvalid)
		}
	}
	d.depts[dep.ID] = dep
	d.indexDepts()
	return nil
}

// RemoveDepartment removes an empty department. It fails with ErrNotFound, or
// with ErrInvalid while there is anybody or anything in it.
func (s *Server) RemoveDepartment(corp string, id int64) error {
	c, err := s.corpNamed(corp)
	if err != nil {
		return err
	}
	d := &c.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.hasDept(id):
		return fmt.Errorf("dingtalksim: department %d: %w", id, ErrNotFound)
	case id == rootDept || len(d.children[id]) > 0 || len(d.members[id]) > 0:
		return fmt.Errorf("dingtalksim: department %d is the root or not empty: %w", id, ErrInvalid)
	}
	delete(d.depts, id)
	d.indexDepts()
	return nil
}

// corpNamed is the organisation of that id, or the first when id is empty.
func (s *Server) corpNamed(id string) (*corp, error) {
	if id == "" {
		return s.corps[0], nil
	}
	if c := s.corpByID(id); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("dingtalksim: organisation %q: %w", id, ErrNotFound)
}

func (s *Server) getDepartments(r *http.Request, _ []byte) (int, any, error) {
	list, err := s.Departments(r.URL.Query().Get("corp"))
	return http.StatusOK, list, err
}

// postDepartment adds or replaces a department; ?event=1 tells of it.
func (s *Server) postDepartment(r *http.Request, body []byte) (int, any, error) {
	var in struct {
		Corp string `json:"corp"`
		Department
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	c, err := s.corpNamed(in.Corp)
	if err != nil {
		return 0, nil, err
	}
	_, existed := c.dir.department(in.ID)
	if err := s.PutDepartment(in.Corp, in.Department); err != nil {
		return 0, nil, err
	}
	stored, _ := c.dir.department(in.ID)
	if wantsEvent(r) {
		err = s.emitDepartment(in.Corp, map[bool]string{false: "org_dept_create", true: "org_dept_modify"}[existed], in.ID)
	}
	return http.StatusOK, stored, err
}

// patchDepartment changes the members given and leaves the others.
func (s *Server) patchDepartment(r *http.Request, body []byte) (int, any, error) {
	id, err := departmentID(r)
	if err != nil {
		return 0, nil, err
	}
	name := r.URL.Query().Get("corp")
	c, err := s.corpNamed(name)
	if err != nil {
		return 0, nil, err
	}
	dep, ok := c.dir.department(id)
	if !ok {
		return 0, nil, fmt.Errorf("department %d: %w", id, ErrNotFound)
	}
	dep.Managers = slices.Clone(dep.Managers)
	if err := json.Unmarshal(body, &dep); err != nil {
		return 0, nil, err
	}
	if dep.ID != id {
		return 0, nil, fmt.Errorf("department %d: %w: an id cannot be changed", id, ErrInvalid)
	}
	if err := s.PutDepartment(name, dep); err != nil {
		return 0, nil, err
	}
	if wantsEvent(r) {
		err = s.emitDepartment(name, "org_dept_modify", id)
	}
	return http.StatusOK, dep, err
}

func departmentID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("department %q: %w", r.PathValue("id"), ErrNotFound)
	}
	return id, nil
}

func (s *Server) deleteDepartment(r *http.Request, _ []byte) (int, any, error) {
	id, err := departmentID(r)
	if err != nil {
		return 0, nil, err
	}
	name := r.URL.Query().Get("corp")
	if err := s.RemoveDepartment(name, id); err != nil {
		return 0, nil, err
	}
	if wantsEvent(r) {
		err = s.emitDepartment(name, "org_dept_remove", id)
	}
	return http.StatusNoContent, nil, err
}
