package web

import (
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/text/language"

	"kdgate/identity"
	"kdgate/internal/strictjson"
)

// LanguageCookie remembers the language a person chose; it holds nothing else.
const LanguageCookie = "kdgate-lang"

// languages in the order of preference when nothing fits.
var languages = [...]string{"zh-Hans", "zh-Hant", "en"}

// Catalogue holds the words of every language.
type Catalogue struct {
	words    map[string][]volume
	settings map[string]volume // what the keys of the configuration are; English has none
	matcher  language.Matcher
}

// volume is a part of one language's words by their keys: those of employees'
// pages, or those of the console. It is read when first asked for a key, because
// all six are half a megabyte and few processes show more than one. What is
// embedded can be read (a test reads it all); without its words, a page would
// show their keys.
type volume func() map[string]string

// Words is the catalogue in one language.
type Words struct {
	Lang     string // BCP 47, for the lang attribute
	volumes  []volume
	settings volume // nil in English
}

// Choice is one entry of the language switch.
type Choice struct {
	Lang, Name string
	Current    bool
}

func loadCatalogue(files fs.FS) (*Catalogue, error) {
	c := &Catalogue{words: map[string][]volume{}, settings: map[string]volume{}}
	tags := make([]language.Tag, 0, len(languages))
	for _, lang := range languages {
		for _, pattern := range [...]string{"words/", "words/admin/*."} { // in this order: a key of employees' pages never opens the second
			names, err := fs.Glob(files, pattern+lang+".json")
			if err != nil {
				return nil, fmt.Errorf("web: words: %w", err)
			}
			c.words[lang] = append(c.words[lang], sync.OnceValue(func() map[string]string {
				text, err := readWords(files, names)
				if err != nil {
					return nil
				}
				return text
			}))
		}
		if lang != "en" { // see Setting
			c.settings[lang] = sync.OnceValue(func() map[string]string {
				text, err := readSettings(files, "words/settings/"+lang+".json")
				if err != nil {
					return nil
				}
				return text
			})
		}
		tags = append(tags, language.MustParse(lang))
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

// readWords reads files in which each key stands once.
func readWords(files fs.FS, names []string) (map[string]string, error) {
	all := map[string]string{}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("web: words: %w", err)
		}
		text := map[string]string{}
		if err := strictjson.Decode(data, &text); err != nil {
			return nil, fmt.Errorf("web: words %s: %w", name, err)
		}
		for key, words := range text {
			if _, twice := all[key]; twice {
				return nil, fmt.Errorf("web: words %s: %s stands in another file too", name, key)
			}
			all[key] = words
		}
	}
	return all, nil
}

// readSettings reads what the keys of the configuration are: section by section, so
// that no section's name is there as often as it has keys. The whole is dotted.
func readSettings(files fs.FS, name string) (map[string]string, error) {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, fmt.Errorf("web: words: %w", err)
	}
	sections := map[string]map[string]string{}
	if err := strictjson.Decode(data, &sections); err != nil {
		return nil, fmt.Errorf("web: words %s: %w", name, err)
	}
	all := map[string]string{}
	for section, keys := range sections {
		if section != "" {
			section += "."
		}
		for key, words := range keys {
			all[section+key] = words
		}
	}
	return all, nil
}

// In is the catalogue in one language, in the default one when it is unknown.
func (c *Catalogue) In(lang string) Words {
	if _, ok := c.words[lang]; !ok {
		lang = languages[0]
	}
	return Words{Lang: lang, volumes: c.words[lang], settings: c.settings[lang]}
}

// For chooses the language of a request: ?lang=, then the cookie, then Accept-Language.
func (c *Catalogue) For(r *http.Request) Words {
	if lang, ok := c.Asked(r); ok {
		return c.In(lang)
	}
	if cookie, err := r.Cookie(LanguageCookie); err == nil {
		if _, known := c.words[cookie.Value]; known {
			return c.In(cookie.Value)
		}
	}
	accepted := r.Header.Get("Accept-Language")
	if len(accepted) > 256 { // more than any browser sends; parsing cost is not for strangers to choose
		accepted = ""
	}
	tags, _, err := language.ParseAcceptLanguage(accepted)
	if err != nil || len(tags) == 0 {
		return c.In("")
	}
	// One by one: of "zh-HK, zh;q=0.9", which a browser in Hong Kong sends, the
	// matcher would take the exact zh before the near zh-HK.
	for _, tag := range tags {
		if _, index, confidence := c.matcher.Match(tag); confidence != language.No {
			return c.In(languages[index])
		}
	}
	return c.In("")
}

// Asked is the language named by ?lang=, if it is one of ours.
func (c *Catalogue) Asked(r *http.Request) (string, bool) {
	lang := r.URL.Query().Get("lang")
	_, known := c.words[lang]
	return lang, known
}

// T is the text under key; pairs fill its {name} places. A missing key shows
// itself, so that it is seen and not silently empty; a test keeps the
// catalogues complete.
func (w Words) T(key string, pairs ...string) string {
	text, ok := w.find(key)
	if !ok {
		return key
	}
	if len(pairs) < 2 {
		return text
	}
	places := make([]string, 0, len(pairs))
	for i := 0; i+1 < len(pairs); i += 2 {
		places = append(places, "{"+pairs[i]+"}", pairs[i+1])
	}
	return strings.NewReplacer(places...).Replace(text) // once: a name that looks like a place stays a name
}

// Has reports whether there is a text under key.
func (w Words) Has(key string) bool { _, ok := w.find(key); return ok }

func (w Words) find(key string) (string, bool) {
	for _, read := range w.volumes {
		if text, ok := read()[key]; ok {
			return text, true
		}
	}
	return "", false
}

// Setting is what a key of the configuration is, by its dotted name without the
// indices of lists. There is none in English: the configuration itself carries it.
// These words stand apart, and are read when the first setting is shown: a sign-in
// never comes past them.
func (w Words) Setting(key string) (string, bool) {
	if w.settings == nil {
		return "", false
	}
	text, ok := w.settings()[key]
	return text, ok
}

// Word names one value of a set, as word.SET.VALUE; a value without a word of
// its own is shown as it is.
func (w Words) Word(set string, value any) string {
	text := fmt.Sprint(value)
	if word, ok := w.find("word." + set + "." + text); ok {
		return word
	}
	return text
}

// Employee is what a code means, for the person who meets it.
func (w Words) Employee(code identity.Code) string { return w.T("code." + string(code) + ".employee") }

// Helpdesk is what a code means and what to do, for whoever helps.
func (w Words) Helpdesk(code identity.Code) string { return w.T("code." + string(code) + ".helpdesk") }

// Choices are the languages, each by its own name.
func (w Words) Choices() []Choice {
	names := map[string]string{"zh-Hans": "简体中文", "zh-Hant": "繁體中文", "en": "English"}
	choices := make([]Choice, 0, len(languages))
	for _, lang := range languages {
		choices = append(choices, Choice{Lang: lang, Name: names[lang], Current: lang == w.Lang})
	}
	return choices
}
