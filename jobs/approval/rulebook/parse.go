package rulebook

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"kdgate/internal/lazyregexp"
	"kdgate/jobs/approval"
)

// Fault is one mistake in the text of a rule.
type Fault struct {
	Line  int    `json:"line,omitempty"` // from 1; zero: of the whole
	Words string `json:"words"`
}

// Faults are all mistakes in a text, by line.
type Faults []Fault

func (f Faults) Error() string {
	texts := make([]string, 0, len(f))
	for _, one := range f {
		if one.Line == 0 {
			texts = append(texts, one.Words)
			continue
		}
		texts = append(texts, fmt.Sprintf("line %d: %s", one.Line, one.Words))
	}
	return strings.Join(texts, "\n")
}

// maxName bounds the name of a rule, in characters.
const maxName = 60

// Defaults are what a text may leave out.
type Defaults struct{ Corp, DataCentre string }

// Parse reads the text of one rule strictly: known keys only, none twice, no
// anchors, one document. The error is a Faults with every mistake that can be
// told at once; judge, if not nil, adds what is known only where the rule would
// run, one mistake a line.
func Parse(text string, d Defaults, judge func(corp string, r approval.Rule) error) (corp string, rule approval.Rule, err error) {
	root, faults := scan(text)
	if len(faults) > 0 {
		return "", rule, faults
	}
	var t ruleText
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&t); err != nil {
		faults = append(faults, typeFaults(err)...)
	}
	t.Corp, t.DataCentre = cmp.Or(t.Corp, d.Corp), cmp.Or(t.DataCentre, d.DataCentre)
	since, err := time.ParseInLocation(time.DateOnly, t.Since, beijing)
	if err != nil && t.Since != "" { // a missing one is told below
		faults = append(faults, Fault{lineOf(root, "since"), fmt.Sprintf("since: %q is not a day such as 2026-01-31", t.Since)})
		since = time.Unix(0, 0) // or it would be called missing too
	}
	if n := utf8.RuneCountInString(t.Name); n > maxName {
		faults = append(faults, Fault{lineOf(root, "name"), fmt.Sprintf("name: %d characters, at most %d", n, maxName)})
	}
	faults = append(faults, twice(root, t)...)
	rule = t.rule(since)
	if judge == nil {
		judge = func(_ string, r approval.Rule) error { return approval.Check([]approval.Rule{r}) }
	}
	if err := judge(t.Corp, rule); err != nil {
		faults = append(faults, placed(root, t.Name, err)...)
	}
	if len(faults) > 0 {
		slices.SortStableFunc(faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
		return t.Corp, rule, slices.Compact(faults)
	}
	return t.Corp, rule, nil
}

// scan reads the text as a tree, for the lines, and refuses what a rule never needs.
func scan(text string) (*yaml.Node, Faults) {
	switch {
	case len(text) > MaxText:
		return nil, Faults{{0, fmt.Sprintf("%d bytes, at most %d", len(text), MaxText)}}
	case strings.TrimSpace(text) == "":
		return nil, Faults{{0, "nothing is written"}}
	case !utf8.ValidString(text):
		return nil, Faults{{0, "the text is not UTF-8"}}
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&document); err != nil {
		return nil, typeFaults(err)
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, Faults{{0, "one rule at a time: there is a second document"}}
	}
	root := document.Content[0]
	if anchored := anchor(root); anchored != nil {
		return nil, Faults{{anchored.Line, "anchors, aliases and tags are not for rules"}}
	}
	if root.Kind != yaml.MappingNode {
		return nil, Faults{{root.Line, "a rule is a list of keys with values; approvals: and the dash before the name belong to the configuration file"}}
	}
	return root, nil
}

// anchor finds an alias, an anchor or a tag of the writer's own.
func anchor(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		return n
	}
	for _, inner := range n.Content {
		if found := anchor(inner); found != nil {
			return found
		}
	}
	return nil
}

var (
	atLine    = lazyregexp.New(`^(?:yaml: )?line (\d+): (.*)$`)
	noField   = lazyregexp.New(`^field (.*) not found in type .*$`)
	wrongType = lazyregexp.New("^cannot unmarshal (\\S+)(?: `(.*)`)? into (\\S+)$")
)

// typeFaults puts the library's words in ours.
func typeFaults(err error) Faults {
	texts := []string{err.Error()}
	if typed, ok := errors.AsType[*yaml.TypeError](err); ok {
		texts = typed.Errors
	}
	var out Faults
	for _, text := range texts {
		fault := Fault{Words: strings.TrimPrefix(text, "yaml: ")}
		if m := atLine().FindStringSubmatch(text); m != nil {
			fault.Line, _ = strconv.Atoi(m[1]) // digits
			fault.Words = m[2]
		}
		if m := noField().FindStringSubmatch(fault.Words); m != nil {
			fault.Words = fmt.Sprintf("%s: there is no such key", m[1])
			if m[1] == "mode" {
				fault.Words = "mode: rules of the console are switched on beside the rule, not in its text"
			}
		}
		if m := wrongType().FindStringSubmatch(fault.Words); m != nil {
			fault.Words = fmt.Sprintf("%q cannot stand here: wanted is %s", m[2], typeWord(m[3]))
		}
		out = append(out, fault)
	}
	return out
}

func typeWord(name string) string {
	switch {
	case name == "bool":
		return "true or false"
	case name == "int":
		return "a whole number"
	case name == "string":
		return "a text"
	case strings.HasPrefix(name, "[]"):
		return "a list"
	}
	return "keys with values"
}

// twice tells names that stand twice in a list, of which one would be lost.
func twice(root *yaml.Node, t ruleText) Faults {
	var out Faults
	note := func(path, words string, names []string) {
		seen := map[string]bool{}
		for i, name := range names {
			if seen[name] {
				out = append(out, Fault{lineOf(root, fmt.Sprintf("%s[%d]", path, i)), fmt.Sprintf(words, name)})
			}
			seen[name] = true
		}
	}
	var aliases, dictionaries []string
	for _, a := range t.Aliases {
		aliases = append(aliases, a.Name)
	}
	note("aliases", "aliases: %q stands twice", aliases)
	for i, d := range t.Dictionaries {
		dictionaries = append(dictionaries, d.Name)
		var words []string
		for _, w := range d.Words {
			words = append(words, w.Value)
		}
		note(fmt.Sprintf("dictionaries[%d].words", i), "dictionaries: %q stands twice", words)
	}
	note("dictionaries", "dictionaries: %q stands twice", dictionaries)
	note("header", "header: %q is filled twice", keysOf(t.Header))
	for i, table := range t.Rows {
		note(fmt.Sprintf("rows[%d].fields", i), "fields: %q is filled twice", keysOf(table.Fields))
	}
	return out
}

func keysOf(list []fieldText) []string {
	var keys []string
	for _, f := range list {
		keys = append(keys, strings.ToLower(f.Key))
	}
	return keys
}

// placed gives mistakes of a judge, one a line, the line that they are about.
func placed(root *yaml.Node, name string, err error) Faults {
	var out Faults
	for line := range strings.Lines(err.Error()) {
		words := strings.TrimSpace(line)
		words = strings.TrimPrefix(words, fmt.Sprintf("rule %q: ", name))
		words = strings.TrimPrefix(words, "rule 1: ")
		path, _, _ := strings.Cut(words, ": ")
		if strings.HasPrefix(words, "data centre ") {
			path = "data_centre"
		}
		if strings.HasPrefix(words, "needs a name") {
			path = "name"
		}
		if strings.HasSuffix(words, ": filled twice") { // told above, with the line of the second
			continue
		}
		out = append(out, Fault{lineOf(root, path), strings.Replace(words, ": approval: an expression", ": the expression", 1)})
	}
	return out
}

var pathPart = lazyregexp.New(`[^.\[\]]+`)

// lineOf is the line of a path such as rows[0].fields.FExpID.as; of what is not
// written, that of the nearest part around it, zero for the whole.
func lineOf(root *yaml.Node, path string) int {
	line, at := 0, root
	for _, part := range pathPart().FindAllString(path, -1) {
		next := child(at, part)
		if next == nil {
			break
		}
		line, at = next.Line, next
	}
	return line
}

func child(n *yaml.Node, part string) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == part {
				found := *n.Content[i+1]
				found.Line = n.Content[i].Line // where the key stands
				return &found
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(part); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
		for _, item := range n.Content {
			if key := child(item, "key"); key != nil && item.Kind == yaml.MappingNode && strings.EqualFold(key.Value, part) {
				return item
			}
		}
	}
	return nil
}
