package admin

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/jobs"
	"kdgate/store"
)

// WorkItem is an item of the work list as the API tells it.
type WorkItem struct {
	Kind    string         `json:"kind"`
	Key     string         `json:"key"`
	State   jobs.State     `json:"state"`
	Version uint64         `json:"version"` // which an edit has to name
	Payload any            `json:"payload,omitempty"`
	Due     time.Time      `json:"due"`
	Tries   int            `json:"tries"`
	Step    string         `json:"step,omitempty"`
	Failure *jobs.Failure  `json:"failure,omitempty"`
	Note    string         `json:"note,omitempty"`
	History []jobs.Attempt `json:"history,omitempty"`
	Created time.Time      `json:"created"`
	Updated time.Time      `json:"updated"`
}

// WorkPage is one page of items.
type WorkPage struct {
	Items []WorkItem `json:"items"`
	Next  string     `json:"next,omitempty"`
}

// WorkCount is how many items of a kind are in a state.
type WorkCount struct {
	Kind   string     `json:"kind"`
	State  jobs.State `json:"state"`
	Count  int        `json:"count"`
	Oldest time.Time  `json:"oldest"`
}

// WorkPicture is the list in numbers.
type WorkPicture struct {
	Counts []WorkCount  `json:"counts"`
	Pauses []jobs.Pause `json:"pauses"`
}

// ItemEdit is the body that gives an item another payload.
type ItemEdit struct {
	Version uint64         `json:"version"`
	Payload jsontext.Value `json:"payload"`
}

// ItemNote is the body of giving an item up.
type ItemNote struct {
	Note string `json:"note"`
}

// KindPause is the body that pauses a kind.
type KindPause struct {
	Kind    string `json:"kind"`
	Minutes int    `json:"minutes"`
	Why     string `json:"why,omitempty"`
}

// KindName is the body that names a kind.
type KindName struct {
	Kind string `json:"kind"`
}

func workItem(i jobs.Item) WorkItem {
	w := WorkItem{
		Kind: i.Kind, Key: i.Key, State: i.State, Version: uint64(i.Version), Due: i.Due, Tries: i.Tries, Step: i.Step.Name,
		Failure: i.Failure, Note: i.Note, History: i.History, Created: i.Created, Updated: i.Updated,
	}
	if len(i.Payload) > 0 {
		w.Payload = i.Payload
	}
	return w
}

func (j *Jobs) mountAPI(rt *Router) {
	post := func(path, summary string, body, answer any, serve Endpoint) Route {
		return Route{Pattern: "POST " + path, Access: ToAdmin, Summary: summary, Body: body, Answer: answer, Serve: serve}
	}
	edit := Route{
		Pattern: "PUT " + apiItem, Access: ToAdmin, Danger: true, MaxBody: maxItem, Body: ItemEdit{}, Answer: WorkItem{},
		Summary: "Give an item another payload; 409 when it has changed.", Serve: j.editJSON,
	}
	rt.Add(
		Route{Pattern: "GET " + apiJobs, Access: ToAdmin, Summary: "Items of the work list.", Query: itemParams, Answer: WorkPage{}, Serve: j.itemsJSON},
		Route{Pattern: "GET " + apiJobs + "/counts", Access: ToAdmin, Summary: "The work list in numbers.", Answer: WorkPicture{}, Serve: j.countsJSON},
		Route{Pattern: "GET " + apiItem, Access: ToAdmin, Summary: "One item.", Answer: WorkItem{}, Serve: j.itemJSON},
		edit,
		post(apiItem+"/replay", "Do a dead item again.", struct{}{}, WorkItem{}, func(v *Visit) error {
			if err := v.Body(&struct{}{}); err != nil {
				return err
			}
			it, err := j.List.Replay(v.R.Context(), v.worker(), itemID(v))
			return v.itemJSON(it, err)
		}),
		post(apiItem+"/give-up", "End an item that will not be done, with a note.", ItemNote{}, WorkItem{}, func(v *Visit) error {
			var body ItemNote
			if err := v.Body(&body); err != nil {
				return err
			}
			it, err := j.List.GiveUp(v.R.Context(), v.worker(), itemID(v), strings.TrimSpace(body.Note))
			return v.itemJSON(it, err)
		}),
		post(apiJobs+"/pause", "Keep a kind of work from being done.", KindPause{}, jobs.Pause{}, j.pauseJSON),
		post(apiJobs+"/resume", "Let a kind of work be done again.", KindName{}, struct{}{}, j.resumeJSON),
	)
}

// itemJSON answers with an item, or with why there is none.
func (v *Visit) itemJSON(it jobs.Item, err error) error {
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, workItem(it))
}

func (j *Jobs) itemsJSON(v *Visit) error {
	_, page, next, err := j.chosen(v)
	if err != nil {
		return err
	}
	answer := WorkPage{Items: []WorkItem{}, Next: next}
	for _, it := range page.Items {
		answer.Items = append(answer.Items, workItem(it))
	}
	return v.JSON(http.StatusOK, answer)
}

func (j *Jobs) countsJSON(v *Visit) error {
	counts, err := j.List.Counts(v.R.Context())
	if err != nil {
		return err
	}
	pauses, err := j.List.Pauses(v.R.Context())
	if err != nil {
		return err
	}
	picture := WorkPicture{Counts: []WorkCount{}, Pauses: append([]jobs.Pause{}, pauses...)}
	for _, c := range counts {
		picture.Counts = append(picture.Counts, WorkCount{Kind: c.Kind, State: c.State, Count: c.N, Oldest: c.Oldest})
	}
	return v.JSON(http.StatusOK, picture)
}

func (j *Jobs) itemJSON(v *Visit) error {
	it, err := j.List.Get(v.R.Context(), itemID(v))
	return v.itemJSON(it, err)
}

func (j *Jobs) editJSON(v *Visit) error {
	var body ItemEdit
	if err := v.Body(&body); err != nil {
		return err
	}
	it, err := j.List.Edit(v.R.Context(), v.worker(), itemID(v), store.Version(body.Version), body.Payload)
	return v.itemJSON(it, err)
}

func (j *Jobs) pauseJSON(v *Visit) error {
	var body KindPause
	if err := v.Body(&body); err != nil {
		return err
	}
	pause, err := j.pauseOf(body.Kind, body.Minutes, body.Why)
	if err != nil {
		return err
	}
	if err := j.List.PauseKind(v.R.Context(), v.worker(), pause); err != nil {
		return err
	}
	return v.JSON(http.StatusOK, pause)
}

func (j *Jobs) resumeJSON(v *Visit) error {
	var body KindName
	if err := v.Body(&body); err != nil {
		return err
	}
	if body.Kind == "" {
		return badRequest("no kind")
	}
	if err := j.List.ResumeKind(v.R.Context(), v.worker(), body.Kind); err != nil {
		return err
	}
	return v.JSON(http.StatusOK, struct{}{})
}
