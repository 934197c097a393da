package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kdgate/audit"
)

const (
	pathSettings = prefix + "settings"

	settingsPage = 100
)

// Setting is one key of the configuration as it is in force. It never holds a
// secret: of those only whether they are there (T122).
type Setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default string `json:"default,omitempty"`
	About   string `json:"about"`
	Secret  bool   `json:"secret,omitempty"` // a secret is there
	Own     bool   `json:"own"`              // not the default
}

// Settings shows what is in force. Changing it is done in the file, by whoever
// may write there: no click takes the last administrator away (F31).
type Settings struct {
	InForce  func() []Setting // in the order of the reference
	Warnings []string         // what the check of the file said beside its mistakes
	Since    time.Time        // when the file was last read
}

// Mount implements Page.
func (p *Settings) Mount(rt *Router) {
	rt.Link("settings", pathSettings, ToAdmin)
	params := []Param{
		{"text", "part of a key or of its value"}, {"all", "1: with the keys that stand at their default"}, {"cursor", "of the next page, as the page before gave it"},
	}
	rt.Add(
		Route{Pattern: "GET " + pathSettings, Access: ToAdmin, Summary: "The configuration in force, without secrets.", Query: params, Serve: p.page},
		Route{Pattern: "GET " + apiPrefix + "settings", Access: ToAdmin, Summary: "The configuration in force, without secrets.", Query: params, Answer: SettingsPage{}, Serve: p.json},
	)
}

// SettingsPage is one page of settings.
type SettingsPage struct {
	Since    time.Time `json:"since"`
	Warnings []string  `json:"warnings"`
	Settings []Setting `json:"settings"`
	Total    int       `json:"total"` // that fit
	Next     string    `json:"next,omitempty"`
}

// settingsView is the page.
type settingsView struct {
	SettingsPage
	Text        string
	All         bool
	When        string
	Log         string // address of the readings of the file in the log
	First, More string // addresses; empty: there is none
}

func (p *Settings) chosen(v *Visit) (settingsView, error) {
	read, err := v.Query("text", "all", "cursor")
	if err != nil {
		return settingsView{}, err
	}
	text, all := strings.TrimSpace(read["text"]), read["all"] == "1"
	if len(text) > maxText || read["all"] != "" && !all {
		return settingsView{}, badRequest("settings: text of %d bytes, all %q", len(text), read["all"])
	}
	list := "settings " + read["all"] + " " + text
	place, err := v.OpenCursor(list, read["cursor"])
	if err != nil {
		return settingsView{}, err
	}
	fit := p.fitting(text, all)
	begin, _ := strconv.Atoi(place) // ours, or empty
	begin = min(begin, len(fit))    // the file may have become shorter
	end := min(begin+settingsPage, len(fit))
	page := SettingsPage{Since: p.Since, Warnings: append([]string{}, p.Warnings...), Settings: append([]Setting{}, fit[begin:end]...), Total: len(fit)}
	if end < len(fit) {
		page.Next = v.Cursor(list, strconv.Itoa(end))
	}
	return page.view(text, all, begin > 0), nil
}

// view is the page with the addresses on it.
func (page SettingsPage) view(text string, all, later bool) settingsView {
	kept := url.Values{}
	if text != "" {
		kept.Set("text", text)
	}
	if all {
		kept.Set("all", "1")
	}
	view := settingsView{SettingsPage: page, Text: text, All: all, When: When(page.Since)}
	view.Log = address(pathAudit, url.Values{"action": {string(audit.ActionConfigLoad)}})
	if later {
		view.First = address(pathSettings, kept)
	}
	if page.Next != "" {
		view.More = address(pathSettings, kept, "cursor", page.Next)
	}
	return view
}

// fitting are the settings with a text in key or value; those at their default
// only where all are asked for.
func (p *Settings) fitting(text string, all bool) []Setting {
	wanted := strings.ToLower(text)
	var fit []Setting
	for _, s := range p.InForce() {
		if (all || s.Own) && (strings.Contains(strings.ToLower(s.Key), wanted) || strings.Contains(strings.ToLower(s.Value), wanted)) {
			fit = append(fit, s)
		}
	}
	return fit
}

func (p *Settings) page(v *Visit) error {
	view, err := p.chosen(v)
	if err != nil {
		return err
	}
	if v.IsFragment() {
		return v.Part("settings", "rows", view)
	}
	return v.Page("settings", view)
}

func (p *Settings) json(v *Visit) error {
	view, err := p.chosen(v)
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, view.SettingsPage)
}
