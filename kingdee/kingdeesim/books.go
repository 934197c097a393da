package kingdeesim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/kingdee/kingdeesim/internal/filter"
	"kdgate/kingdee/kingdeesim/internal/loose"
)

// BillInfo is a document as the control door shows it. Fields holds what was
// saved, by the vendor's key; references as numbers.
type BillInfo struct {
	DataCentre string           `json:"dataCentre"`
	Form       string           `json:"form"`
	ID         int64            `json:"FID"`
	Number     string           `json:"FBillNo"`
	Status     string           `json:"FDocumentStatus"`
	Created    time.Time        `json:"created"`
	Modified   time.Time        `json:"modified"`
	Fields     map[string]any   `json:"fields"`
	Entries    []map[string]any `json:"entries"`
}

// Bills returns the bills of every data centre, of one form or, with an empty
// one, of all, oldest first.
func (s *Server) Bills(formID string) []BillInfo { return s.documents(formID, false) }

// documents returns bills, or base data that is kept as documents.
func (s *Server) documents(formID string, base bool) []BillInfo {
	out := []BillInfo{}
	for _, c := range s.centres {
		c.mu.RLock()
		for id, table := range c.docs {
			d := c.schemas[id]
			if (formID != "" && !strings.EqualFold(formID, d.id)) || (formID == "" && (d.title != "") != base) {
				continue
			}
			for _, doc := range table.list {
				out = append(out, c.billInfo(d, doc))
			}
		}
		c.mu.RUnlock()
	}
	slices.SortFunc(out, func(a, b BillInfo) int {
		if n := strings.Compare(a.DataCentre, b.DataCentre); n != 0 {
			return n
		}
		return int(a.ID - b.ID)
	})
	return out
}

func (c *centre) billInfo(d *docForm, doc *document) BillInfo {
	info := BillInfo{
		DataCentre: c.id, Form: d.id, ID: doc.id, Number: doc.number, Status: doc.state, Created: doc.created, Modified: doc.modified,
		Fields: c.shownFields(d.head, doc.values), Entries: []map[string]any{},
	}
	for _, line := range doc.lines {
		row := c.shownFields(d.lines, line.values)
		row["FEntryID"] = line.id
		info.Entries = append(info.Entries, row)
	}
	return info
}

// shownFields gives amounts as text, because a reader's JSON would make floats.
func (c *centre) shownFields(list []docField, values map[string]any) map[string]any {
	out := map[string]any{}
	for _, field := range list {
		switch v := values[strings.ToLower(field.key)].(type) {
		case nil:
		case int64:
			out[field.key] = c.named(field.form, v).Number
		case filter.Number:
			out[field.key] = string(v)
		case loose.Object:
			out[field.key] = loose.Format(v)
		default:
			out[field.key] = v
		}
	}
	return out
}

// DepartmentInfo is a department as the control door shows it.
type DepartmentInfo struct {
	DataCentre     string `json:"dataCentre"`
	ID             int64  `json:"FDEPTID"`
	Number         string `json:"FNumber"`
	Name           string `json:"FName"`
	ParentID       int64  `json:"FParentID"`
	Parent         string `json:"parent"` // its number
	Depth          int64  `json:"FDepth"`
	ForbidStatus   string `json:"FForbidStatus"`
	DocumentStatus string `json:"FDocumentStatus"`
}

// Departments returns the departments of every data centre.
func (s *Server) Departments() []DepartmentInfo {
	return everywhere(s, func(c *centre) []Department { return c.tables.Departments }, func(c *centre, d Department) DepartmentInfo {
		return DepartmentInfo{
			DataCentre: c.id, ID: d.ID, Number: d.Number, Name: d.Name, ParentID: d.ParentID, Parent: c.department(d.ParentID).Number,
			Depth: d.Depth, ForbidStatus: d.ForbidStatus, DocumentStatus: d.DocumentStatus,
		}
	})
}

// PositionInfo is a position as the control door shows it.
type PositionInfo struct {
	DataCentre     string `json:"dataCentre"`
	ID             int64  `json:"FPOSTID"`
	Number         string `json:"FNumber"`
	Name           string `json:"FName"`
	Department     string `json:"department"`
	ForbidStatus   string `json:"FForbidStatus"`
	DocumentStatus string `json:"FDocumentStatus"`
}

// Positions returns the positions of every data centre.
func (s *Server) Positions() []PositionInfo {
	return everywhere(s, func(c *centre) []Position { return c.tables.Positions }, func(c *centre, p Position) PositionInfo {
		return PositionInfo{
			DataCentre: c.id, ID: p.ID, Number: p.Number, Name: p.Name, Department: c.department(p.DepartmentID).Number,
			ForbidStatus: p.ForbidStatus, DocumentStatus: p.DocumentStatus,
		}
	})
}

// Attachments returns the files at records of every data centre.
func (s *Server) Attachments() []Attachment {
	out := []Attachment{}
	for _, c := range s.centres {
		c.mu.RLock()
		for _, a := range c.files {
			out = append(out, *a)
		}
		c.mu.RUnlock()
	}
	return out
}

// Put saves a document while the server runs, as somebody in the console would,
// and gives its internal id.
func (s *Server) Put(dataCentre string, d Document) (int64, error) {
	var id int64
	err := s.inCentre(dataCentre, func(c *centre) (bool, error) {
		if err := c.seed(s, []Document{d}); err != nil {
			return true, fmt.Errorf("kingdeesim: %w", err)
		}
		table := c.table(d.Form)
		id = table.list[len(table.list)-1].id
		return true, nil
	})
	return id, err
}

// Open puts a record under somebody's hand in the console: writes to it meet the
// network control (MsgCode 13). An empty user gives it back.
func (s *Server) Open(dataCentre, formID, number, user string) error {
	return s.inCentre(dataCentre, func(c *centre) (bool, error) {
		f := c.forms[strings.ToLower(formID)]
		if f == nil {
			return true, fmt.Errorf("kingdeesim: form %q: %w", formID, ErrUnknown)
		}
		if user == "" {
			delete(c.open, openRecord{f.id, number})
			return true, nil
		}
		c.open[openRecord{f.id, number}] = user
		return true, nil
	})
}

// ClosePeriods closes the books up to a month ("2026-01"); "" opens them all.
func (s *Server) ClosePeriods(dataCentre, month string) error {
	if _, err := time.Parse("2006-01", month); month != "" && err != nil {
		return fmt.Errorf("kingdeesim: period %q is not like 2026-01", month)
	}
	return s.inCentre(dataCentre, func(c *centre) (bool, error) {
		c.closed = month
		return true, nil
	})
}

// bookRoutes are the control door's routes for records.
func (s *Server) bookRoutes(mux *http.ServeMux, do func(string, func(*http.Request) (any, error))) {
	read := func(route string, answer func(*http.Request) any) {
		mux.HandleFunc("GET "+route, func(w http.ResponseWriter, r *http.Request) { writeControl(w, http.StatusOK, answer(r)) })
	}
	read("/sim/bills", func(r *http.Request) any { return s.Bills(r.URL.Query().Get("form")) })
	read("/sim/basedata", func(*http.Request) any { return s.documents("", true) })
	read("/sim/departments", func(*http.Request) any { return s.Departments() })
	read("/sim/positions", func(*http.Request) any { return s.Positions() })
	read("/sim/attachments", func(*http.Request) any { return s.Attachments() })
	read("/sim/held", func(*http.Request) any { return s.Held() })
	do("POST /sim/bills", s.postBill)
	do("POST /sim/open", s.postOpen)
	do("POST /sim/release", s.postRelease)
}

func (s *Server) postBill(r *http.Request) (any, error) {
	var d Document
	if err := readControl(r, &d); err != nil {
		return nil, err
	}
	id, err := s.Put(r.URL.Query().Get("dc"), d)
	return map[string]int64{"FID": id}, err
}

func (s *Server) postOpen(r *http.Request) (any, error) {
	var body struct {
		Form   string `json:"form"`
		Number string `json:"number"`
		User   string `json:"user"` // "" gives it back
	}
	if err := readControl(r, &body); err != nil {
		return nil, err
	}
	return ok(), s.Open(r.URL.Query().Get("dc"), body.Form, body.Number, body.User)
}

// postRelease lets held calls go: one by id, or all of them. An empty body, too,
// means all.
func (s *Server) postRelease(r *http.Request) (any, error) {
	body := struct {
		ID      int  `json:"id"`
		Abandon bool `json:"abandon"`
	}{}
	if r.ContentLength != 0 {
		if err := readControl(r, &body); err != nil {
			return nil, err
		}
	}
	id, err := strconv.Atoi(orElse(r.URL.Query().Get("id"), strconv.Itoa(body.ID)))
	if err != nil {
		return nil, fmt.Errorf("kingdeesim: id: %w", err)
	}
	return map[string]int{"released": s.Release(id, body.Abandon)}, nil
}
