package config

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/identity"
)

// Value is one key as it is in force, for people's eyes.
type Value struct {
	Name    string // dotted, list elements with their index: corps[0].app_key
	Text    string // as it would be written; of a secret always empty, of an address without what may be secret in it
	Default string
	Doc     string
	Secret  bool // a secret is there
	Own     bool // not the default
}

// InForce lists every key with its value, in the order of the reference; lists
// of sections element by element. No secret is in it, also not one that stands
// in an address (T122).
func (c *Config) InForce() []Value {
	return inForce(reflect.ValueOf(*c), "")
}

func inForce(section reflect.Value, prefix string) []Value {
	var values []Value
	for field := range fields(section.Type()) {
		name, value := prefix+field.key, section.FieldByIndex(field.Index)
		switch {
		case isStructList(field.Type):
			for i := range value.Len() {
				values = append(values, inForce(value.Index(i), name+"["+strconv.Itoa(i)+"].")...)
			}
		case isSection(field.Type):
			values = append(values, inForce(value, name+".")...)
		default:
			values = append(values, oneInForce(field, name, value))
		}
	}
	return values
}

func oneInForce(field taggedField, name string, value reflect.Value) Value {
	one := Value{Name: name, Default: field.Tag.Get("default"), Doc: field.Tag.Get("doc")}
	if secret, ok := value.Interface().(identity.Secret); ok {
		one.Secret = !secret.IsZero()
		one.Own = one.Secret
		return one
	}
	text := written(value)
	one.Own = !value.IsZero() && text != one.Default || value.IsZero() && !blank(one.Default)
	one.Text = withoutSecrets(name, text)
	if d, ok := value.Interface().(time.Duration); ok {
		if byDefault, err := parseDuration(one.Default); err == nil && byDefault == d {
			one.Own, one.Text = false, one.Default
		}
	}
	return one
}

// blank reports a default that says no more than none does.
func blank(byDefault string) bool {
	return slices.Contains([]string{"", "0", "0s", "false"}, byDefault)
}

// written is a value as it would stand in the file.
func written(value reflect.Value) string {
	if d, ok := value.Interface().(time.Duration); ok {
		return writtenDuration(d)
	}
	if value.Kind() != reflect.Slice {
		return fmt.Sprint(value.Interface())
	}
	parts := make([]string, 0, value.Len())
	for i := range value.Len() {
		parts = append(parts, fmt.Sprint(value.Index(i).Interface()))
	}
	return strings.Join(parts, ", ")
}

// writtenDuration is a duration without the zeros that nobody writes, whole days as such.
func writtenDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d > day && d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// withoutSecrets takes out of an address what may open a door: the password, the
// query, and of a webhook, whose path is often the secret itself, the path.
func withoutSecrets(name, text string) string {
	parts := strings.Split(text, ", ")
	for i, part := range parts {
		if !strings.Contains(part, "://") {
			continue
		}
		address, err := url.Parse(part)
		if err != nil {
			parts[i] = "…"
			continue
		}
		shown := address.Scheme + "://"
		if address.User != nil {
			shown += "…@"
		}
		shown += address.Host
		switch {
		case strings.Contains(name, "webhook") && len(address.Path) > 1:
			shown += "/…"
		default:
			shown += address.Path
		}
		if address.RawQuery != "" || address.Fragment != "" {
			shown += "?…"
		}
		parts[i] = shown
	}
	return strings.Join(parts, ", ")
}
