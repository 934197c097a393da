package config

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/identity"
)

// Key is one line of the configuration reference.
type Key struct {
	Name    string // dotted; list elements are written without an index
	Kind    string // text, number, yes/no, duration, list, secret
	Default string
	Doc     string
	Env     string // the variable, N standing for the index in a list
}

// Reference lists every key, from the struct itself, in its order.
func Reference() []Key {
	return reference(reflect.TypeFor[Config](), "", EnvPrefix)
}

func reference(t reflect.Type, prefix, env string) []Key {
	var keys []Key
	for field := range fields(t) {
		name, variable := prefix+field.key, env+strings.ToUpper(field.key)
		inner := field.Type
		if isStructList(inner) {
			inner, variable = inner.Elem(), variable+"_N"
		}
		if isSection(inner) {
			keys = append(keys, reference(inner, name+".", variable+"_")...)
			continue
		}
		keys = append(keys, Key{
			Name: name, Kind: kindName(field.Type), Default: field.Tag.Get("default"),
			Doc: field.Tag.Get("doc"), Env: variable,
		})
	}
	return keys
}

type taggedField struct {
	reflect.StructField
	key string
}

// fields yields the fields of a struct that are keys.
func fields(t reflect.Type) func(yield func(taggedField) bool) {
	return func(yield func(taggedField) bool) {
		for i := range t.NumField() {
			field := t.Field(i)
			key := field.Tag.Get("mapstructure")
			if key == "-" || strings.HasPrefix(key, ",") {
				continue
			}
			if !yield(taggedField{field, key}) {
				return
			}
		}
	}
}

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[identity.Secret]()
}

func isStructList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct
}

func kindName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[identity.Secret]():
		return "secret"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return "number"
	case reflect.Bool:
		return "yes/no"
	case reflect.Slice:
		return "list"
	default:
		return "text"
	}
}

// fillDefaults sets what the file left out, in list elements too.
func fillDefaults(t reflect.Type, settings map[string]any) {
	for field := range fields(t) {
		value, there := settings[field.key]
		there = there && value != nil
		switch {
		case isStructList(field.Type):
			for _, element := range asList(value) {
				if inner, ok := element.(map[string]any); ok {
					fillDefaults(field.Type.Elem(), inner)
				}
			}
		case isSection(field.Type):
			inner, ok := value.(map[string]any)
			if !ok && there {
				continue // a scalar where a section belongs: the decoder says so
			}
			if inner == nil {
				inner = map[string]any{}
			}
			fillDefaults(field.Type, inner)
			settings[field.key] = inner
		case !there:
			if text := field.Tag.Get("default"); text != "" {
				settings[field.key] = text
			} else {
				delete(settings, field.key)
			}
		}
	}
}

func asList(value any) []any {
	list, _ := value.([]any)
	return list
}

// refuseWritten finds what must not be written like this: secrets that stand in
// the file itself (T122), and one element where a list belongs, which the decoder
// would take for a list of one without its defaults.
func refuseWritten(t reflect.Type, settings map[string]any, prefix string, mistakes *Mistakes) {
	for field := range fields(t) {
		value := settings[field.key]
		name := prefix + field.key
		switch {
		case isStructList(field.Type):
			if _, list := value.([]any); value != nil && !list {
				mistakes.add("%s: a list is wanted here: begin each element with a dash", name)
				delete(settings, field.key)
			}
			for i, element := range asList(value) {
				if inner, ok := element.(map[string]any); ok {
					refuseWritten(field.Type.Elem(), inner, name+"["+strconv.Itoa(i)+"].", mistakes)
				}
			}
		case isSection(field.Type):
			if inner, ok := value.(map[string]any); ok {
				refuseWritten(field.Type, inner, name+".", mistakes)
			}
		case field.Tag.Get("secret") == "true" && value != nil && value != "":
			mistakes.add("%s: a secret does not belong in this file; put it into a file of mode 0600 and write %s_file: PATH, or set %s",
				name, name, envName(name))
		}
	}
}

// envName is the variable that sets a dotted key with indices.
func envName(name string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "[", "_", "]", "").Replace(name))
}

// overlay lays KDGATE_… variables over the settings. A variable that names no
// key is a mistake, like an unknown key in the file.
func overlay(settings map[string]any, environ []string, mistakes *Mistakes) {
	for _, pair := range slices.SortedFunc(slices.Values(environ), compareVariables) {
		name, value, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, EnvPrefix)
		if !ours {
			continue
		}
		if !set(reflect.TypeFor[Config](), settings, rest, value) {
			mistakes.add("%s: this environment variable names no key; see the configuration reference", name)
		}
	}
}

// compareVariables puts element 2 of a list before element 10, since each may be
// one past the end only.
func compareVariables(a, b string) int {
	parts := func(pair string) []string {
		name, _, _ := strings.Cut(pair, "=")
		return strings.Split(name, "_")
	}
	return slices.CompareFunc(parts(a), parts(b), func(x, y string) int {
		m, errX := strconv.Atoi(x)
		n, errY := strconv.Atoi(y)
		if errX == nil && errY == nil {
			return cmp.Compare(m, n)
		}
		return strings.Compare(x, y)
	})
}

// chooseCallback takes a callback that is described for one that is wanted,
// where nothing says how events come.
func chooseCallback(settings map[string]any) {
	for _, element := range asList(settings["corps"]) {
		corp, _ := element.(map[string]any)
		if callback, _ := corp["callback"].(map[string]any); len(callback) > 0 && corp["events"] == nil {
			corp["events"] = "callback"
		}
	}
}

// set walks rest (FOO_BAR_0_BAZ) down the schema and puts value where it leads.
func set(t reflect.Type, settings map[string]any, rest, value string) bool {
	for field := range fields(t) {
		upper := strings.ToUpper(field.key)
		if rest == upper && !isSection(field.Type) && !isStructList(field.Type) {
			settings[field.key] = value
			return true
		}
		below, ok := strings.CutPrefix(rest, upper+"_")
		if !ok {
			continue
		}
		if isSection(field.Type) {
			inner, _ := settings[field.key].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
			}
			if set(field.Type, inner, below, value) {
				settings[field.key] = inner
				return true
			}
		}
		if isStructList(field.Type) && setElement(field, settings, below, value) {
			return true
		}
	}
	return false
}

// setElement sets a key of a list element; the index may be one past the end.
func setElement(field taggedField, settings map[string]any, below, value string) bool {
	digits, rest, ok := strings.Cut(below, "_")
	index, err := strconv.Atoi(digits)
	list := asList(settings[field.key])
	if !ok || err != nil || index < 0 || index > len(list) {
		return false
	}
	if index == len(list) {
		list = append(list, map[string]any{})
	}
	inner, isMap := list[index].(map[string]any)
	if !isMap || !set(field.Type.Elem(), inner, rest, value) {
		return false
	}
	settings[field.key] = list
	return true
}
