package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/internal/lazyregexp"
	"kdgate/web"
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
	About   string `json:"about"`            // in English; on the page in the reader's language
	Secret  bool   `json:"secret,omitempty"` // a secret is there
	Own     bool   `json:"own"`              // not the default
}

// Settings shows what is in force. Changing it is done in the file, by whoever
// may write there: no click takes the last administrator away (F31).
type Settings struct {
	InForce  func() []Setting // made anew for each who asks, in the order of the reference
	Warnings []string         // what the check of the file said beside its mistakes
	Since    time.Time        // when the file was last read
}

// Mount implements Page.
func (p *Settings) Mount(rt *Router) {
	rt.Link("settings", pathSettings, ToAdmin)
	params := []Param{
		{"text", "part of a key, of its value or of what it is"}, {"all", "1: with the keys that stand at their default"}, {"cursor", "of the next page, as the page before gave it"},
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

// index is a place in a list of sections: corps[0].app_key is described as corps.app_key.
var index = lazyregexp.New(`\[\d+\]`)

// described are settings with what they are in the reader's language, where the
// catalogue has it.
func described(settings []Setting, words web.Words) []Setting {
	for i, s := range settings {
		if text, ok := words.Setting(index().ReplaceAllString(s.Key, "")); ok {
			settings[i].About = text
		}
	}
	return settings
}

// chosen is the page of settings that a visit asks for.
func (p *Settings) chosen(v *Visit, settings []Setting) (settingsView, error) {
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
	fit := fitting(settings, text, all)
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

// fitting are the settings with a text in key, value or description; those at
// their default only where all are asked for.
func fitting(settings []Setting, text string, all bool) []Setting {
	wanted := strings.ToLower(text)
	var fit []Setting
	for _, s := range settings {
		held := func(part string) bool { return strings.Contains(strings.ToLower(part), wanted) }
		if (all || s.Own) && (held(s.Key) || held(s.Value) || held(s.About)) {
			fit = append(fit, s)
		}
	}
	return fit
}

func (p *Settings) page(v *Visit) error {
	view, err := p.chosen(v, described(p.InForce(), v.Words))
	if err != nil {
		return err
	}
	if v.IsFragment() {
		return v.Part("settings", "rows", view)
	}
	return v.Page("settings", view)
}

// json answers in English whatever the reader's language: programs read it.
func (p *Settings) json(v *Visit) error {
	view, err := p.chosen(v, p.InForce())
	if err != nil {
		return err
	}
	return v.JSON(http.StatusOK, view.SettingsPage)
}
