package localapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/jobs"
	"kdgate/jobs/directory"
)

// Items gives one page of the work list; kind empty: all kinds.
func (c *Client) Items(ctx context.Context, f jobs.Filter, after string) (Items, error) {
	var page Items
	q := url.Values{"state": {string(f.State)}, "kind": {f.Kind}, "after": {after}, "limit": {"200"}}
	return page, c.get(ctx, "jobs", q, &page)
}

// Work gives the counts of the work list and what is paused.
func (c *Client) Work(ctx context.Context) (Work, error) {
	var work Work
	return work, c.get(ctx, "jobs/work", nil, &work)
}

// Item gives one item; id is KIND/KEY.
func (c *Client) Item(ctx context.Context, id string) (jobs.Item, error) {
	var item jobs.Item
	return item, c.get(ctx, "jobs/item", url.Values{"id": {id}}, &item)
}

// WorkAct acts on an item, which is the answer, or on a kind.
func (c *Client) WorkAct(ctx context.Context, act WorkAct) (jobs.Item, error) {
	var item jobs.Item
	return item, c.post(ctx, "jobs/act", act, &item)
}

// Tasks gives the tasks by the clock.
func (c *Client) Tasks(ctx context.Context) ([]Task, error) {
	var tasks []Task
	return tasks, c.get(ctx, "tasks", nil, &tasks)
}

// TaskAct acts on a task.
func (c *Client) TaskAct(ctx context.Context, act TaskAct) error {
	return c.post(ctx, "tasks/act", act, &struct{}{})
}

// Directory tells where the directory stands.
func (c *Client) Directory(ctx context.Context) (DirectoryState, error) {
	var state DirectoryState
	return state, c.get(ctx, "directory", nil, &state)
}

// Compare orders a run and returns when it has ended.
func (c *Client) Compare(ctx context.Context, o Order, p directory.Progress) (directory.Run, error) {
	var run directory.Run
	body, err := json.Marshal(o)
	if err != nil {
		return run, fmt.Errorf("localapi: %w", err)
	}
	err = c.lines(ctx, http.MethodPost, "directory/run", nil, bytes.NewReader(body), func(l line) (bool, error) {
		if l.Run != nil {
			run = *l.Run
			return true, nil
		}
		p(l.Phase, l.Done, l.Total)
		return false, nil
	})
	return run, err
}

// Runs gives the newest runs of the directory that ended, newest first.
func (c *Client) Runs(ctx context.Context, limit int) ([]directory.Run, error) {
	var runs []directory.Run
	return runs, c.get(ctx, "directory/runs", url.Values{"limit": {strconv.Itoa(limit)}}, &runs)
}

// Changes gives a run, and calls fn with everything it did.
func (c *Client) Changes(ctx context.Context, id string, begin func(directory.Run) error, fn func(directory.Change) error) error {
	return c.lines(ctx, http.MethodGet, "directory/changes", url.Values{"run": {id}}, nil, func(l line) (bool, error) {
		switch {
		case l.Run != nil:
			return false, begin(*l.Run)
		case l.Change != nil:
			return false, fn(*l.Change)
		}
		return l.End, nil
	})
}

// Drifts gives records that wait for a decision, those after a staff number.
func (c *Client) Drifts(ctx context.Context, after string) ([]directory.Drift, error) {
	var list []directory.Drift
	return list, c.get(ctx, "directory/drifts", url.Values{"after": {after}}, &list)
}

// Waiting gives the people who were hired again.
func (c *Client) Waiting(ctx context.Context) ([]directory.Known, error) {
	var list []directory.Known
	return list, c.get(ctx, "directory/waiting", nil, &list)
}

// DirectoryAct carries out a decision. After an undo, refused is what Kingdee
// would not take back: staff number and its words.
func (c *Client) DirectoryAct(ctx context.Context, act DirectoryAct) (refused []string, err error) {
	var done refusedNumbers
	err = c.post(ctx, "directory/act", act, &done)
	return done.Refused, err
}

func (c *Client) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	res, err := c.send(ctx, http.MethodPost, path, nil, bytes.NewReader(text))
	return taken(into, res, err)
}

// lines calls fn with every line until it says that this was the last, or one
// tells of a fault.
func (c *Client) lines(ctx context.Context, method, path string, q url.Values, body io.Reader, fn func(line) (bool, error)) error {
	res, err := c.send(ctx, method, path, q, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := jsontext.NewDecoder(res.Body)
	for {
		var l line
		if err := json.UnmarshalDecode(lines, &l); err != nil {
			return fmt.Errorf("localapi: the gateway stopped in the middle: %w", err)
		}
		if l.Fault != nil {
			return l.Fault.restore()
		}
		if last, err := fn(l); last || err != nil {
			return err
		}
	}
}
