package admin

import (
	"context"
	"net/http"

	"kdgate/mapping"
)

const pathConflicts = pathMapping + "/conflicts"

// Trouble is what needs somebody, the worst first.
type Trouble struct {
	Ambiguities []mapping.Ambiguity `json:"ambiguities"` // login users whose links could share a signature (T33)
	Pending     []mapping.Entry     `json:"pending"`     // privileged rows that wait for approvals
	Shared      []mapping.Entry     `json:"shared"`      // rows that share a login user, shown in every report (T17)
	Broken      []mapping.Entry     `json:"broken"`      // rows whose chain broke when Kingdee was last asked
	Stats       mapping.Stats       `json:"stats"`
}

const troublePage = 100

func (m *Mapping) trouble(ctx context.Context) (Trouble, error) {
	t := Trouble{Ambiguities: []mapping.Ambiguity{}}
	var err error
	for _, centre := range m.Centres {
		found, err := m.Index.Ambiguities(ctx, centre.ID)
		if err != nil {
			return t, err
		}
		t.Ambiguities = append(t.Ambiguities, found...)
	}
	if len(t.Ambiguities) > troublePage {
		t.Ambiguities = t.Ambiguities[:troublePage]
	}
	if t.Stats, err = m.Index.Stats(ctx); err != nil {
		return t, err
	}
	search := func(f mapping.Filter) []mapping.Entry {
		if err != nil {
			return nil
		}
		var found mapping.Found
		found, err = m.Index.Search(ctx, m.Table, mapping.Query{Filter: f, Limit: troublePage})
		return found.Rows
	}
	t.Pending = search(mapping.Filter{Status: mapping.StatusPending})
	t.Shared = search(mapping.Filter{Shared: true})
	for _, code := range chainCodes {
		if t.Stats.Broken[code] > 0 && len(t.Broken) < troublePage {
			t.Broken = append(t.Broken, search(mapping.Filter{Status: mapping.StatusActive, Code: code})...)
		}
	}
	return t, err
}

// conflictsView is the page.
type conflictsView struct {
	Trouble
	Coverage *coverage
	Suggests bool
}

// At is the address of a row.
func (c conflictsView) At(e mapping.Entry) string { return rowAddress(e.Key()) }

// When is when Kingdee was last asked about a row.
func (c conflictsView) When(e mapping.Entry) string { return When(e.Check.At) }

func (m *Mapping) conflicts(v *Visit) error {
	t, err := m.trouble(v.R.Context())
	if err != nil {
		return err
	}
	return v.Page("conflicts", conflictsView{Trouble: t, Coverage: coverageOf(t.Stats), Suggests: m.Suggest != nil})
}

func (m *Mapping) conflictsJSON(v *Visit) error {
	t, err := m.trouble(v.R.Context())
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, t)
}
