package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"kdgate/identity"
)

// EnvPrefix begins every environment variable that sets a key.
const EnvPrefix = "KDGATE_"

// Mistakes are all the things wrong with a configuration.
type Mistakes []string

func (m Mistakes) Error() string {
	return fmt.Sprintf("configuration: %d mistake(s):\n  - %s", len(m), strings.Join(m, "\n  - "))
}

func (m *Mistakes) add(format string, args ...any) {
	*m = append(*m, fmt.Sprintf(format, args...))
}

// Load reads the file at path, lays the environment (os.Environ form) over it,
// reads the secret files and checks everything. Relative paths count from the
// file's folder. The error is a Mistakes, or one about reading the file.
func Load(path string, environ []string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: cannot read the file: %w", err)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(text, filepath.Dir(absolute), environ)
}

// Parse is Load for a text that is already there; dir is where relative paths count from.
func Parse(text []byte, dir string, environ []string) (*Config, error) {
	settings, err := readYAML(text)
	if err != nil {
		return nil, err
	}
	var mistakes Mistakes
	refuseWritten(reflect.TypeFor[Config](), settings, "", &mistakes)
	overlay(settings, environ, &mistakes)
	chooseCallback(settings)
	fillDefaults(reflect.TypeFor[Config](), settings)
	cfg, err := decode(settings)
	if err != nil {
		mistakes = append(mistakes, decodeMistakes(err)...)
	}
	resolvePaths(cfg, dir)
	readSecrets(cfg, &mistakes)
	var found Mistakes
	cfg.check(&found)
	if mistakes = mistakes.with(found); len(mistakes) > 0 {
		return nil, mistakes
	}
	return cfg, nil
}

// with adds what the checks found, except about keys that were not even read:
// what stands there then is not what somebody wrote.
func (m Mistakes) with(found Mistakes) Mistakes {
	all := slices.Clone(m)
	for _, line := range found {
		if !slices.ContainsFunc(m, func(before string) bool { return above(keyOf(before), keyOf(line)) }) {
			all = append(all, line)
		}
	}
	return all
}

// keyOf is what a line is about: all of them begin with a key and a colon.
func keyOf(line string) string {
	key, _, _ := strings.Cut(line, ": ")
	return key
}

// above reports whether a key is another one, or a section that it stands in.
func above(section, key string) bool {
	rest, ok := strings.CutPrefix(key, section)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func readYAML(text []byte) (map[string]any, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00")) // no key of ours is a path
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
		return nil, Mistakes{fmt.Sprintf("the file is not YAML: %v", err)}
	}
	if severalDocuments(text) { // viper would read the first and forget the others
		return nil, Mistakes{"the file holds several YAML documents (---): write all keys into one"}
	}
	if twice := keysTwice(text); len(twice) > 0 {
		return nil, twice
	}
	settings := v.AllSettings()
	return settings, nil
}

// severalDocuments looks for a second document in a text that is YAML.
func severalDocuments(text []byte) bool {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	return documents.Decode(&first) == nil && documents.Decode(&second) == nil
}

// keysTwice finds keys that stand twice in different letter case. To viper they
// are one, and it would take either (T124).
func keysTwice(text []byte) (found Mistakes) {
	var document yaml.Node
	if yaml.Unmarshal(text, &document) == nil {
		found.addTwice(&document, "")
	}
	return found
}

func (m *Mistakes) addTwice(node *yaml.Node, at string) {
	if node.Kind != yaml.MappingNode {
		for i, inner := range node.Content {
			inside := at
			if node.Kind == yaml.SequenceNode {
				inside = fmt.Sprintf("%s[%d]", at, i)
			}
			m.addTwice(inner, inside)
		}
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := strings.TrimPrefix(at+"."+strings.ToLower(node.Content[i].Value), ".")
		if seen[key] {
			m.add("%s: there twice, in different letter case; keep one", key)
		}
		seen[key] = true
		m.addTwice(node.Content[i+1], key)
	}
}

// decode turns the settings into the struct; unknown keys are errors (T124).
// Beside an error there is everything that could be read.
func decode(settings map[string]any) (*Config, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"))
	cfg := &Config{}
	if err := v.MergeConfigMap(settings); err != nil {
		return cfg, fmt.Errorf("configuration: %w", err)
	}
	err := v.UnmarshalExact(cfg, viper.DecodeHook(mapstructure.ComposeDecodeHookFunc(
		durationHook, secretHook, numberHook, listHook, dayHook,
	)))
	return cfg, err
}

// dayHook gives a day that stands there without quotation marks, which YAML takes
// for a time, back as the text it was.
func dayHook(_, to reflect.Type, value any) (any, error) {
	day, ok := value.(time.Time)
	if !ok || to.Kind() != reflect.String {
		return value, nil
	}
	return day.Format(time.DateOnly), nil
}

// durationHook wants a unit, because a bare 5 would be five nanoseconds, and knows days.
func durationHook(_, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() {
		return value, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, fmt.Errorf("%v is not a duration: write it with a unit, for example 30m", value)
	}
	return parseDuration(text)
}

func parseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q is not a duration: write it with a unit, for example 184d", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write it with a unit, for example 30m", text)
	}
	return d, nil
}

func secretHook(_, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[identity.Secret]() {
		return value, nil
	}
	text, ok := value.(string)
	if !ok {
		return nil, errors.New("a secret must be text")
	}
	return identity.NewSecret(text), nil
}

// numberHook lets ids be written without quotes, and version numbers such as 1.3.
func numberHook(from, to reflect.Type, value any) (any, error) {
	if to.Kind() != reflect.String || to == reflect.TypeFor[identity.Secret]() {
		return value, nil
	}
	switch from.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return fmt.Sprint(value), nil
	default:
		return value, nil
	}
}

// listHook splits a text at commas where a list is wanted: the form lists take in the environment.
func listHook(from, to reflect.Type, value any) (any, error) {
	if from.Kind() != reflect.String || to != reflect.TypeFor[[]string]() {
		return value, nil
	}
	var list []string
	for part := range strings.SplitSeq(value.(string), ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list, nil
}

// decodeMistakes makes one line of each thing the decoder found.
func decodeMistakes(err error) Mistakes {
	var found Mistakes
	for _, line := range flatten(err) {
		if where, keys, ok := strings.Cut(line, " has invalid keys: "); ok {
			for key := range strings.SplitSeq(keys, ", ") {
				found = append(found, unknownKey(strings.Trim(where, "'"), key))
			}
			continue
		}
		if key, what, ok := strings.Cut(strings.TrimPrefix(line, "'"), "' "); ok && line[0] == '\'' {
			line = key + ": " + what
		}
		found = append(found, line)
	}
	return found
}

func flatten(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var lines []string
		for _, e := range joined.Unwrap() {
			lines = append(lines, flatten(e)...)
		}
		return lines
	}
	if inner := errors.Unwrap(err); inner != nil {
		if _, many := inner.(interface{ Unwrap() []error }); many {
			return flatten(inner)
		}
	}
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "* ")); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// unknownKey names the key and the nearest one there is.
func unknownKey(where, key string) string {
	if where != "" {
		key = where + "." + key
	}
	names := allKeys()
	nearest, distance := "", 4
	for _, name := range names {
		if d := editDistance(withoutIndices(key), name); d < distance {
			nearest, distance = name, d
		}
	}
	if nearest != "" {
		return fmt.Sprintf("%s: unknown key; did you mean %s?", key, nearest)
	}
	return fmt.Sprintf("%s: unknown key; remove it, or see the configuration reference for the names", key)
}

func withoutIndices(key string) string {
	var out strings.Builder
	depth := 0
	for _, r := range key {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case depth == 0:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// editDistance is Levenshtein's, for short names.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := previous
			if a[i] != b[j] {
				cost++
			}
			previous = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// allKeys are the names of keys and sections.
func allKeys() []string {
	var keys []string
	for _, k := range Reference() {
		for i, r := range k.Name {
			if r == '.' {
				keys = append(keys, k.Name[:i]) // the section it stands in
			}
		}
		keys = append(keys, k.Name)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
