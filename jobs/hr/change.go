package hr

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/internal/lazyregexp"
	"kdgate/internal/strictjson"
)

// Act is what HR says about a person.
type Act string

// The acts.
const (
	Join  Act = "join"  // make them, or bring them up to date if they are there
	Move  Act = "move"  // change what is told of them
	Leave Act = "leave" // take them out: DingTalk has no other way to freeze an account (reference 5.4)
)

// Change is one word of HR. An empty field says nothing about it.
type Change struct {
	Act         Act     `json:"act"`
	UserID      string  `json:"userid"`
	Name        string  `json:"name,omitempty"`
	Mobile      string  `json:"mobile,omitempty"`
	JobNumber   string  `json:"job_number,omitempty"`
	Title       string  `json:"title,omitempty"`
	Email       string  `json:"email,omitempty"`
	Departments []int64 `json:"departments,omitempty"` // DingTalk's ids
	Hired       string  `json:"hired,omitempty"`       // yyyy-MM-dd
}

// Limits of one batch.
const (
	MaxBatch = 5000    // changes
	MaxBytes = 1 << 20 // of a request or a file
)

// ErrBatch is a batch that was refused as a whole; its text says every reason.
var ErrBatch = errors.New("hr: nothing of the batch was accepted")

var (
	userID = lazyregexp.New(`^[0-9A-Za-z_.@-]{1,64}$`)
	mobile = lazyregexp.New(`^[0-9]{8,15}$`)
)

const maxText = 200 // bytes of any one field

// china is the zone that HR's days are in.
var china = time.FixedZone("UTC+8", 8*60*60)

func (c Change) check() error {
	var wrong []string
	add := func(bad bool, words string) {
		if bad {
			wrong = append(wrong, words)
		}
	}
	add(c.Act != Join && c.Act != Move && c.Act != Leave, "act is join, move or leave")
	add(!userID().MatchString(c.UserID), "userid is 1 to 64 letters, digits, _ . @ -")
	add(c.Act == Join && (c.Name == "" || c.Mobile == "" || len(c.Departments) == 0), "a join needs name, mobile and departments")
	add(c.Mobile != "" && !mobile().MatchString(c.Mobile), "mobile is 8 to 15 digits")
	add(slices.ContainsFunc(c.Departments, func(id int64) bool { return id < 1 }), "departments are DingTalk's ids")
	for _, text := range []string{c.Name, c.JobNumber, c.Title, c.Email} {
		add(len(text) > maxText || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), "a text is too long or holds control characters")
	}
	if c.Hired != "" {
		_, err := time.ParseInLocation(time.DateOnly, c.Hired, china)
		add(err != nil, "hired is a day such as 2026-01-31")
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(slices.Compact(wrong), "; "))
	}
	return nil
}

// batch is the body of a request.
type batch struct {
	Changes []Change `json:"changes"`
}

// ParseJSON reads a request: {"changes":[…]}, case-exactly and without doubles.
func ParseJSON(body []byte) ([]Change, error) {
	var b batch
	if err := strictjson.DecodeClosed(body, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBatch, err)
	}
	return checked(b.Changes, "change")
}

// columns are the columns of a file, in any order; act and userid are needed.
var columns = []string{"act", "userid", "name", "mobile", "job_number", "title", "email", "departments", "hired"}

// ParseCSV reads a dropped file: UTF-8 with a header line; several departments
// stand apart by semicolons.
func ParseCSV(r io.Reader) ([]Change, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("hr: read the file: %w", err)
	}
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("%w: the file is larger than 1 MiB", ErrBatch)
	}
	rows := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	all, err := rows.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBatch, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: the file is empty", ErrBatch)
	}
	place, err := placesOf(all[0])
	if err != nil {
		return nil, err
	}
	changes := make([]Change, 0, len(all)-1)
	for _, row := range all[1:] {
		changes = append(changes, fromRow(row, place))
	}
	return checked(changes, "line")
}

func placesOf(header []string) (map[string]int, error) {
	place := map[string]int{}
	for i, name := range header {
		name = strings.TrimSpace(name)
		if _, twice := place[name]; twice || !slices.Contains(columns, name) {
			return nil, fmt.Errorf("%w: column %q; the columns are %s, each once", ErrBatch, name, strings.Join(columns, ", "))
		}
		place[name] = i
	}
	for _, needed := range columns[:2] {
		if _, there := place[needed]; !there {
			return nil, fmt.Errorf("%w: the column %s is missing", ErrBatch, needed)
		}
	}
	return place, nil
}

func fromRow(row []string, place map[string]int) Change {
	at := func(name string) string {
		i, there := place[name]
		if !there {
			return ""
		}
		return strings.TrimSpace(row[i])
	}
	c := Change{
		Act: Act(at("act")), UserID: at("userid"), Name: at("name"), Mobile: at("mobile"), JobNumber: at("job_number"),
		Title: at("title"), Email: at("email"), Hired: at("hired"),
	}
	for text := range strings.SplitSeq(at("departments"), ";") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			id = -1 // check refuses it
		}
		c.Departments = append(c.Departments, id)
	}
	return c
}

// checked refuses a batch with every reason at once, so that it is mended once.
func checked(list []Change, what string) ([]Change, error) {
	var wrong []string
	seen := map[string]bool{}
	for i, c := range list {
		err := c.check()
		if err == nil && seen[c.UserID] {
			err = errors.New("the same person twice")
		}
		seen[c.UserID] = true
		if err != nil && len(wrong) < 20 {
			wrong = append(wrong, fmt.Sprintf("%s %d (%.64q): %v", what, i+1, c.UserID, err))
		}
	}
	switch {
	case len(list) == 0:
		return nil, fmt.Errorf("%w: it is empty", ErrBatch)
	case len(list) > MaxBatch:
		return nil, fmt.Errorf("%w: %d changes, at most %d", ErrBatch, len(list), MaxBatch)
	case len(wrong) > 0:
		return nil, fmt.Errorf("%w: %s", ErrBatch, strings.Join(wrong, " | "))
	}
	return list, nil
}
