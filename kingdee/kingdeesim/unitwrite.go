package kingdeesim

import (
	"fmt"
	"slices"
)

func writeDepartments() *writing {
	return &writing{
		store: storeDepartment,
		state: func(c *centre, row int) *string { return &c.tables.Departments[row].DocumentStatus },
		touch: func(c *centre, row int) { c.tables.Departments[row].Modified = c.now() },
		remove: func(c *centre, row int) {
			c.tables.Departments = slices.Delete(c.tables.Departments, row, row+1)
			c.index()
		},
	}
}

// storeDepartment writes BD_Department.
func storeDepartment(f *fields, row int) int {
	c := f.centre
	rec := Department{ForbidStatus: Enabled, OrgID: c.tables.Organisations[0].ID}
	if row >= 0 {
		rec = c.tables.Departments[row]
	}
	number := rec.Number
	f.text("FNumber", &number, false)
	if number == "" {
		number = fmt.Sprintf("BM%06d", len(c.tables.Departments)+1)
	}
	if taken(c.deptByNumber[number], row, func(i int) bool { return c.tables.Departments[i].OrgID == rec.OrgID }) {
		f.duplicate("FNumber", number)
	}
	f.text("FName", &rec.Name, true)
	f.text("FFullName", &rec.FullName, false)
	f.ref("FCreateOrgId", formOrganisation, &rec.OrgID, true)
	f.ref("FUseOrgId", formOrganisation, &rec.OrgID, true)
	f.ref("FParentID", formDepartment, &rec.ParentID, false)
	if row >= 0 && c.below(rec.ParentID, rec.ID) {
		f.fail("FParentID", "上级部门不能是本部门或其下级部门")
	}
	if len(f.errors) > 0 {
		return 0
	}
	rec.Depth = 1
	if i, ok := c.deptByID[rec.ParentID]; ok {
		rec.Depth = c.tables.Departments[i].Depth + 1
	}
	if row < 0 {
		rec.ID, rec.Number = c.tables.next(), number
		c.tables.Departments = append(c.tables.Departments, rec)
		row = len(c.tables.Departments) - 1
		c.deptByID[rec.ID] = row
		c.deptByNumber[number] = append(c.deptByNumber[number], row)
		return row
	}
	if rec.Number != number {
		unlist(c.deptByNumber, rec.Number, row)
		c.deptByNumber[number] = append(c.deptByNumber[number], row)
		rec.Number = number
	}
	c.tables.Departments[row] = rec
	return row
}

// below tells whether a department is another, or lies below it.
func (c *centre) below(id, top int64) bool {
	for range len(c.tables.Departments) + 1 {
		if id == top {
			return true
		}
		i, ok := c.deptByID[id]
		if !ok {
			return false
		}
		id = c.tables.Departments[i].ParentID
	}
	return true
}

func writePositions() *writing {
	return &writing{
		store: storePosition,
		state: func(c *centre, row int) *string { return &c.tables.Positions[row].DocumentStatus },
		touch: func(c *centre, row int) { c.tables.Positions[row].Modified = c.now() },
		remove: func(c *centre, row int) {
			c.tables.Positions = slices.Delete(c.tables.Positions, row, row+1)
			c.index()
		},
	}
}

// storePosition writes HR_ORG_HRPOST.
func storePosition(f *fields, row int) int {
	c := f.centre
	rec := Position{ForbidStatus: Enabled, OrgID: c.tables.Organisations[0].ID}
	if row >= 0 {
		rec = c.tables.Positions[row]
	}
	number := rec.Number
	f.text("FNumber", &number, false)
	if number == "" {
		number = fmt.Sprintf("GW%06d", len(c.tables.Positions)+1)
	}
	if taken(c.positionByNo[number], row, func(i int) bool { return c.tables.Positions[i].OrgID == rec.OrgID }) {
		f.duplicate("FNumber", number)
	}
	f.text("FName", &rec.Name, true)
	f.ref("FCreateOrgId", formOrganisation, &rec.OrgID, true)
	f.ref("FUseOrgId", formOrganisation, &rec.OrgID, true)
	f.ref("FDept", formDepartment, &rec.DepartmentID, true)
	f.date("FEffectDate", &rec.EffectDate, false)
	if len(f.errors) > 0 {
		return 0
	}
	if row < 0 {
		rec.ID, rec.Number = c.tables.next(), number
		c.tables.Positions = append(c.tables.Positions, rec)
		row = len(c.tables.Positions) - 1
		c.positionByID[rec.ID] = row
		c.positionByNo[number] = append(c.positionByNo[number], row)
		return row
	}
	if rec.Number != number {
		unlist(c.positionByNo, rec.Number, row)
		c.positionByNo[number] = append(c.positionByNo[number], row)
		rec.Number = number
	}
	c.tables.Positions[row] = rec
	return row
}
