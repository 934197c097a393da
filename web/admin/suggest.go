package admin

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"kdgate/mapping"
)

const (
	pathSuggestions = pathMapping + "/suggestions"
	suggestLife     = 10 * time.Minute
	suggestShown    = 200
)

// Suggest gathers who has no row and who they could be in one data centre. It
// asks both vendors for everybody, so the answer is kept for some minutes.
type Suggest func(ctx context.Context, dataCentre string) ([]mapping.Suggestion, error)

// suggestView is the page.
type suggestView struct {
	Centres []Centre
	Centre  string
	Asked   bool
	When    string
	List    []mapping.Suggestion
	Total   int
}

// At is the form for a new row with a suggestion filled in: a person looks at
// it and saves it, or does not (T22).
func (s suggestView) At(g mapping.Suggestion) string {
	return pathNew + "?" + url.Values{
		"data_centre": {s.Centre}, "corp": {g.Subject.Corp}, "userid": {g.Subject.UserID},
		"staff_number": {g.StaffNumber}, "login_user": {g.LoginUser},
	}.Encode()
}

func (m *Mapping) mountSuggestions(rt *Router) {
	if m.Suggest == nil {
		return
	}
	var memo suggestions
	rt.Add(
		Route{Pattern: "GET " + pathSuggestions, Access: ToMappers, Summary: "Who has no row, and who they could be.", Serve: func(v *Visit) error {
			view, err := m.suggestions(v, &memo)
			if err != nil {
				return err
			}
			return v.Page("suggestions", view)
		}},
		Route{
			Pattern: "GET " + apiPrefix + "suggestions", Access: ToMappers, Summary: "Who has no row, and who they could be.",
			Query: []Param{{"data_centre", "id of the data centre"}}, Answer: []mapping.Suggestion{},
			Serve: func(v *Visit) error {
				view, err := m.suggestions(v, &memo)
				if err != nil {
					return err
				}
				return v.JSON(http.StatusOK, append([]mapping.Suggestion{}, view.List...))
			},
		},
	)
}

// suggestions is the memory of what was gathered, for each data centre.
type suggestions struct {
	mu   sync.Mutex
	last map[string]gathered
}

type gathered struct {
	at   time.Time
	list []mapping.Suggestion
}

func (m *Mapping) suggestions(v *Visit, memo *suggestions) (suggestView, error) {
	read, err := v.Query("data_centre")
	if err != nil {
		return suggestView{}, err
	}
	view := suggestView{Centres: m.Centres, Centre: read["data_centre"]}
	if view.Centre == "" {
		return view, nil
	}
	if !m.knowsCentre(view.Centre) {
		return view, badRequest("no such data centre")
	}
	v.unhurried()
	found, err := memo.get(v.R.Context(), view.Centre, v.console.cfg.Now, m.Suggest)
	if err != nil {
		return view, err
	}
	view.Asked, view.When, view.Total = true, When(found.at), len(found.list)
	view.List = found.list[:min(len(found.list), suggestShown)]
	return view, nil
}

func (m *Mapping) knowsCentre(id string) bool {
	for _, c := range m.Centres {
		if c.ID == id {
			return true
		}
	}
	return false
}

// get asks at most one question at a time.
func (s *suggestions) get(ctx context.Context, centre string, now func() time.Time, ask Suggest) (gathered, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, ok := s.last[centre]; ok && now().Sub(g.at) < suggestLife {
		return g, nil
	}
	list, err := ask(ctx, centre)
	if err != nil {
		return gathered{}, err
	}
	if s.last == nil {
		s.last = map[string]gathered{}
	}
	s.last[centre] = gathered{at: now(), list: list}
	return s.last[centre], nil
}
