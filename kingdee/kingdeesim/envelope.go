package kingdeesim

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"kdgate/kingdee/kingdeesim/internal/loose"
)

// errBareArray is the envelope that the manual prints and servers refuse (K13).
var errBareArray = errors.New("Additional text found in JSON string after finishing deserializing object.") //nolint:staticcheck // the vendor's wording

// arguments are those of one call, in whichever envelope they came (K11):
// positional, or by name.
type arguments struct {
	named      loose.Object
	list       []any
	positional bool
}

// readArguments reads a body. The content type is not looked at, because
// clients misspell it and the server does not care (K3): a body that opens like
// JSON is JSON, anything else is a form.
func readArguments(body []byte, acceptBareArray bool) (arguments, error) {
	text := strings.TrimSpace(string(body))
	switch {
	case text == "":
		return arguments{}, nil
	case strings.HasPrefix(text, "{"):
		return readObject(text)
	case strings.HasPrefix(text, "["):
		value, err := loose.Parse(text)
		if err != nil {
			return arguments{}, err
		}
		if !acceptBareArray {
			return arguments{}, errBareArray
		}
		list, _ := value.([]any)
		return arguments{list: list, positional: true}, nil
	default:
		return readForm(text)
	}
}

func readObject(text string) (arguments, error) {
	value, err := loose.Parse(text)
	if err != nil {
		return arguments{}, err
	}
	named, ok := value.(loose.Object)
	if !ok {
		return arguments{}, loose.ErrSyntax
	}
	return withParameters(named)
}

func readForm(text string) (arguments, error) {
	form, err := url.ParseQuery(text)
	if err != nil {
		return arguments{}, fmt.Errorf("form body: %w", err)
	}
	var named loose.Object
	for name, values := range form {
		if !utf8.ValidString(name) {
			return arguments{}, loose.ErrSyntax
		}
		named = append(named, loose.Member{Name: name, Value: values[len(values)-1]})
	}
	return withParameters(named)
}

// withParameters unwraps the member "parameters": an array, or text that holds one.
func withParameters(named loose.Object) (arguments, error) {
	wrapped, ok := named.Get("parameters")
	if !ok {
		return arguments{named: named}, nil
	}
	if text, isText := wrapped.(string); isText {
		if strings.TrimSpace(text) == "" {
			return arguments{named: named, positional: true}, nil
		}
		value, err := loose.Parse(text)
		if err != nil {
			return arguments{}, err
		}
		wrapped = value
	}
	list, ok := wrapped.([]any)
	if !ok {
		return arguments{}, fmt.Errorf("%w: parameters must be an array", loose.ErrSyntax)
	}
	return arguments{named: named, list: list, positional: true}, nil
}

// value is the argument at a position, or under one name, in any letter case (K12).
func (a arguments) value(position int, name string) any {
	if a.positional {
		if position < 0 || position >= len(a.list) {
			return nil
		}
		return a.list[position]
	}
	value, _ := a.named.Get(name)
	return value
}

// text is a scalar argument; numbers count as text (K15).
func (a arguments) text(position int, name string) string {
	return loose.Text(a.value(position, name))
}

// object is an argument that is an object, or JSON text of one (K11, K14).
func (a arguments) object(position int, name string) (loose.Object, error) {
	return asObject(a.value(position, name))
}

func asObject(value any) (loose.Object, error) {
	if text, ok := value.(string); ok {
		parsed, err := loose.Parse(text)
		if err != nil {
			return nil, err
		}
		value = parsed
	}
	switch v := value.(type) {
	case nil:
		return nil, nil
	case loose.Object:
		return v, nil
	default:
		return nil, fmt.Errorf("%w: want an object", loose.ErrSyntax)
	}
}
