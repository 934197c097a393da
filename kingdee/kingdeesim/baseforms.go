package kingdeesim

func department() *form {
	at := func(c *centre, i int) Department { return c.tables.Departments[i] }
	f := &form{
		id: "BD_Department", key: "fdeptid",
		rows: func(c *centre) int { return len(c.tables.Departments) },
		columns: map[string]column{
			"fdeptid":         func(c *centre, i int) any { return at(c, i).ID },
			"fnumber":         func(c *centre, i int) any { return at(c, i).Number },
			"fname":           func(c *centre, i int) any { return at(c, i).Name },
			"ffullname":       func(c *centre, i int) any { return orElse(at(c, i).FullName, at(c, i).Name) },
			"fdocumentstatus": func(c *centre, i int) any { return at(c, i).DocumentStatus },
			"fforbidstatus":   func(c *centre, i int) any { return at(c, i).ForbidStatus },
			"fmodifydate":     func(c *centre, i int) any { return moment(at(c, i).Modified) },
			"fdepth":          func(c *centre, i int) any { return at(c, i).Depth },
		},
		status: func(c *centre, i int) *string { return &c.tables.Departments[i].ForbidStatus },
		write:  writeDepartments(),
		indexes: map[string]index{
			"fnumber": textIndex(func(c *centre, v string) []int { return c.deptByNumber[v] }),
			"fdeptid": idIndex(func(c *centre, id int64) []int { return one(c.deptByID, id) }),
		},
		card: func(c *centre, i int) card {
			d := at(c, i)
			return card{d.ID, d.Number, d.Name, []member{
				{"FullName", orElse(d.FullName, d.Name)}, {"ParentID", c.department(d.ParentID)}, {"Depth", d.Depth},
			}}
		},
	}
	f.reference("FParentID", func(c *centre, i int) BaseData { return c.department(at(c, i).ParentID) })
	for _, key := range []string{"FCreateOrgId", "FUseOrgId"} {
		f.reference(key, func(c *centre, i int) BaseData { return c.organisation(at(c, i).OrgID) })
	}
	return f
}

func position() *form {
	at := func(c *centre, i int) Position { return c.tables.Positions[i] }
	f := &form{
		id: "HR_ORG_HRPOST", key: "fpostid",
		rows: func(c *centre) int { return len(c.tables.Positions) },
		columns: map[string]column{
			"fpostid":         func(c *centre, i int) any { return at(c, i).ID },
			"fnumber":         func(c *centre, i int) any { return at(c, i).Number },
			"fname":           func(c *centre, i int) any { return at(c, i).Name },
			"ffullname":       func(c *centre, i int) any { return at(c, i).Name },
			"fhelpcode":       func(*centre, int) any { return "" },
			"fdescriptions":   func(*centre, int) any { return "" },
			"feffectdate":     func(c *centre, i int) any { return orElse(at(c, i).EffectDate, "2020-01-01T00:00:00") },
			"flapsedate":      func(*centre, int) any { return "9999-12-31T00:00:00" },
			"fdocumentstatus": func(c *centre, i int) any { return at(c, i).DocumentStatus },
			"fforbidstatus":   func(c *centre, i int) any { return at(c, i).ForbidStatus },
			"fmodifydate":     func(c *centre, i int) any { return moment(at(c, i).Modified) },
		},
		status: func(c *centre, i int) *string { return &c.tables.Positions[i].ForbidStatus },
		write:  writePositions(),
		indexes: map[string]index{
			"fnumber": textIndex(func(c *centre, v string) []int { return c.positionByNo[v] }),
			"fpostid": idIndex(func(c *centre, id int64) []int { return one(c.positionByID, id) }),
		},
		card: func(c *centre, i int) card {
			p := at(c, i)
			return card{p.ID, p.Number, p.Name, []member{{"Dept", c.department(p.DepartmentID)}}}
		},
	}
	f.reference("FDept", func(c *centre, i int) BaseData { return c.department(at(c, i).DepartmentID) })
	for _, key := range []string{"FCreateOrgId", "FUseOrgId"} {
		f.reference(key, func(c *centre, i int) BaseData { return c.organisation(at(c, i).OrgID) })
	}
	return f
}

// organisations are never many, so they need no index.
func organisations() *form {
	at := func(c *centre, i int) BaseData { return c.tables.Organisations[i] }
	return &form{
		id: "ORG_Organizations", key: "forgid",
		rows: func(c *centre) int { return len(c.tables.Organisations) },
		columns: map[string]column{
			"forgid":          func(c *centre, i int) any { return at(c, i).ID },
			"fnumber":         func(c *centre, i int) any { return at(c, i).Number },
			"fname":           func(c *centre, i int) any { return at(c, i).Name },
			"fdocumentstatus": func(*centre, int) any { return Audited },
			"fforbidstatus":   func(*centre, int) any { return Enabled },
		},
		card: func(c *centre, i int) card { b := at(c, i); return card{id: b.ID, number: b.Number, name: b.Name} },
	}
}

// currency answers the liveness probe that others use: FNUMBER='PRE001' gives CNY.
func currency() *form {
	at := func(c *centre, i int) BaseData { return c.tables.Currencies[i] }
	return &form{
		id: "BD_Currency", key: "fcurrencyid",
		rows: func(c *centre) int { return len(c.tables.Currencies) },
		columns: map[string]column{
			"fcurrencyid":     func(c *centre, i int) any { return at(c, i).ID },
			"fnumber":         func(c *centre, i int) any { return at(c, i).Number },
			"fname":           func(c *centre, i int) any { return at(c, i).Name },
			"fcode":           func(c *centre, i int) any { return currencyCode(at(c, i).Number) },
			"fdocumentstatus": func(*centre, int) any { return Audited },
			"fforbidstatus":   func(*centre, int) any { return Enabled },
		},
		card: func(c *centre, i int) card {
			b := at(c, i)
			return card{b.ID, b.Number, b.Name, []member{{"CODE", currencyCode(b.Number)}}}
		},
	}
}

func currencyCode(number string) string {
	if number == "PRE001" {
		return "CNY"
	}
	return number
}
