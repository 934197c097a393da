package approval

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"kdgate/internal/strictjson"
)

//go:embed templates/*.json
var shipped embed.FS

// Templates names the templates that ship with the program.
func Templates() []string {
	entries, err := fs.ReadDir(shipped, "templates")
	if err != nil {
		return nil // they are part of the program
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

func template(name string) (Rule, error) {
	if !slices.Contains(Templates(), name) {
		return Rule{}, fmt.Errorf("template: %q is none of %s", name, strings.Join(Templates(), ", "))
	}
	text, err := fs.ReadFile(shipped, "templates/"+name+".json")
	if err != nil {
		return Rule{}, fmt.Errorf("template %s: %w", name, err)
	}
	var t Rule
	if err := strictjson.DecodeClosed(text, &t); err != nil {
		return Rule{}, fmt.Errorf("template %s: %w", name, err)
	}
	return t, nil
}

// filled is the rule with what its template says and it does not: fields of the
// same key and entries of the same name and table are the rule's own.
func (r Rule) filled() (Rule, error) {
	if r.Template != "" {
		t, err := template(r.Template)
		if err != nil {
			return r, err
		}
		r.Form, r.When = orText(r.Form, t.Form), orText(r.When, t.When)
		r.Header = over(t.Header, r.Header)
		r.Aliases = both(t.Aliases, r.Aliases)
		r.Dictionaries = both(t.Dictionaries, r.Dictionaries)
		rows := slices.Clone(t.Rows)
		for _, table := range r.Rows {
			at := slices.IndexFunc(rows, func(have Table) bool {
				return strings.EqualFold(have.Entry, table.Entry) && (table.From == "" || table.From == have.From)
			})
			if at < 0 {
				rows = append(rows, table)
				continue
			}
			merged := rows[at]
			merged.When = orText(table.When, merged.When)
			merged.Empty = merged.Empty || table.Empty
			merged.Fields = over(merged.Fields, table.Fields)
			rows[at] = merged
		}
		r.Rows = rows
	}
	if r.Version == 0 {
		r.Version = 1
	}
	return r, nil
}

// over puts the fields of the rule in the place of those of the template.
func over(base, own []Field) []Field {
	out := slices.Clone(base)
	for _, f := range own {
		at := slices.IndexFunc(out, func(have Field) bool { return strings.EqualFold(have.Key, f.Key) })
		if at < 0 {
			out = append(out, f)
			continue
		}
		out[at] = f
	}
	return out
}

func both[V any](base, own map[string]V) map[string]V {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]V{}
	}
	maps.Copy(out, own)
	return out
}

func orText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
