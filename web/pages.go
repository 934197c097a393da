package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"kdgate/identity"
)

//go:embed templates words assets
var embedded embed.FS

// Pages renders the templates. Build it with New; it is safe for concurrent use.
type Pages struct {
	assets    *Assets
	catalogue *Catalogue
	templates map[string]func() (*template.Template, error)
}

// View is what every template is given.
type View struct {
	Words            // the language of this page
	Page      string // name of the template, also the class of its body
	Canonical string // path and query of this page without lang, for the language switch; empty hides it
	Data      any    // what the page itself needs
	Shell     any    // what stands around a page of the console; nil on employees' pages
}

// New lists what is embedded. A page's template and a language's words are read
// when they are first shown: all of them together are five times what the rest
// of an idle gateway holds.
func New() (*Pages, error) {
	catalogue, err := loadCatalogue(embedded)
	if err != nil {
		return nil, err
	}
	assets, err := loadAssets(embedded)
	if err != nil {
		return nil, err
	}
	p := &Pages{assets: assets, catalogue: catalogue, templates: map[string]func() (*template.Template, error){}}
	if err := p.list(); err != nil {
		return nil, err
	}
	return p, nil
}

// list names the pages there are.
func (p *Pages) list() error {
	files, err := fs.Glob(embedded, "templates/*.html")
	if err != nil {
		return fmt.Errorf("web: templates: %w", err)
	}
	framed, err := fs.Glob(embedded, "templates/*/*.html") // admin: the console; setup: the wizard
	if err != nil {
		return fmt.Errorf("web: templates: %w", err)
	}
	for _, file := range append(files, framed...) {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")
		if base := path.Base(name); base != "layout" && base != "shared" {
			p.templates[name] = sync.OnceValues(func() (*template.Template, error) { return p.parse(name, file) })
		}
	}
	return nil
}

func (p *Pages) parse(name, file string) (*template.Template, error) {
	t, err := template.New("layout.html").Option("missingkey=error").
		Funcs(functions(p.assets)).
		ParseFS(embedded, path.Dir(file)+"/layout.html", "templates/shared.html", file)
	if err != nil {
		return nil, fmt.Errorf("web: template %s: %w", name, err)
	}
	return t, nil
}

// Render writes one page, or nothing when the template fails.
func (p *Pages) Render(w io.Writer, view View) error { return p.RenderPart(w, view, "layout.html") }

// RenderPart writes one block of a page by the name of its define, for a script
// that puts it in the place of the old one.
func (p *Pages) RenderPart(w io.Writer, view View, part string) error {
	read, ok := p.templates[view.Page]
	if !ok {
		return fmt.Errorf("web: no page %q", view.Page)
	}
	t, err := read()
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := t.ExecuteTemplate(&page, part, view); err != nil {
		return fmt.Errorf("web: page %s: %w", view.Page, err)
	}
	if _, err := page.WriteTo(w); err != nil {
		return fmt.Errorf("web: page %s: %w", view.Page, err)
	}
	return nil
}

// Assets serves the embedded assets.
func (p *Pages) Assets() *Assets { return p.assets }

// Catalogue gives the words.
func (p *Pages) Catalogue() *Catalogue { return p.catalogue }

// functions are what templates may call beside the words.
func functions(assets *Assets) template.FuncMap {
	return template.FuncMap{
		"asset": assets.Path,
		"initial": func(name string) string {
			for _, first := range name {
				return string(first)
			}
			return "·"
		},
		"person": func(name, userID string) map[string]string {
			return map[string]string{"Name": straight(name), "UserID": straight(userID)}
		},
		"straight": straight,
		"pairs":    pairs,
		"helpdesk": func(words Words, code identity.Code, requestID, when, person string, open bool) map[string]any {
			return map[string]any{"Words": words, "Code": code, "RequestID": requestID, "Time": when, "Person": person, "Open": open}
		},
	}
}

// pairs makes a map of names and values, for a template that is handed several things.
func pairs(values ...any) (map[string]any, error) {
	if len(values)%2 != 0 {
		return nil, fmt.Errorf("web: pairs of %d values", len(values))
	}
	made := make(map[string]any, len(values)/2)
	for i := 0; i < len(values); i += 2 {
		name, ok := values[i].(string)
		if !ok {
			return nil, fmt.Errorf("web: %v names no value", values[i])
		}
		made[name] = values[i+1]
	}
	return made, nil
}

// straight takes out the characters that turn the writing direction: a name
// that holds one must not rearrange the words beside it (T102).
func straight(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c {
			return -1
		}
		return r
	}, name)
}
