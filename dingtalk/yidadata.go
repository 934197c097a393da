package dingtalk

import (
	"bytes"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/lazyregexp"
)

// yidaFields are the values of a Yida form as components, in the order of their
// ids. Yida types its values (reference 7.6); here they become what those of an
// approval are, so that one rule reads both:
//
//	a number             its digits, from beside it (…_value) where they stand there as text
//	a date               milliseconds, as digits
//	a range, several     a list in a text; one alone is itself
//	a person, a choice   the name, with the id that stands beside it (…_id) in Ext
//	a sub-form           rows
//	anything else        its JSON
//
// What stands beside a value is a component of its own too, under its own name.
func yidaFields(data map[string]jsontext.Value) ([]FormField, error) {
	if len(data) > yidaMostFields {
		return nil, errTooMany
	}
	var fields []FormField
	for _, id := range slices.Sorted(maps.Keys(data)) {
		f, err := yidaField(id, data)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	for id := range data { // a value that is only there as text beside where it would be
		if stem, ok := strings.CutSuffix(id, "_value"); ok && data[stem] == nil && yidaType(stem) == "numberField" {
			fields = append(fields, FormField{ID: stem, Type: "numberField", Value: formText(data[id])})
		}
	}
	return fields, nil
}

// yidaMostFields bounds the components of a form: an approval has 150 at most.
const yidaMostFields = 2000

var errTooMany = errors.New("dingtalk: a Yida form of too many components")

// yidaType is the component that an id begins with, such as textField of
// textField_k2ad4o5a; empty for an alias.
func yidaType(id string) string {
	stem, _, ok := strings.Cut(id, "_")
	if ok && (strings.HasSuffix(stem, "Field") || strings.HasSuffix(stem, "Date") || strings.HasSuffix(stem, "Select")) {
		return stem
	}
	return ""
}

func yidaField(id string, data map[string]jsontext.Value) (FormField, error) {
	value := bytes.TrimSpace(data[id])
	f := FormField{ID: id, Type: yidaType(id)}
	switch jsontext.Value(value).Kind() {
	case '0':
		f.Value = plainNumber(string(value))
		if beside := formText(data[id+"_value"]); yidaDigits().MatchString(beside) {
			f.Value = beside
		}
	case '[':
		rows, err := yidaRows(f.Type, value)
		if err != nil {
			return f, err
		}
		if f.Value = formText(value); rows != nil {
			f.rows, f.Type = rows, "tableField"
			break
		}
		f.Value = yidaList(value)
	default:
		f.Value = formText(value)
		if f.Type == "tableField" && strings.HasPrefix(f.Value, "[") { // a list in a text
			return yidaField(id, map[string]jsontext.Value{id: jsontext.Value(f.Value)})
		}
	}
	f.Ext = yidaBeside(value, data[id+"_id"])
	return f, nil
}

var yidaDigits = lazyregexp.New(`^-?[0-9]{1,40}(\.[0-9]{1,20})?$`)

// plainNumber writes a number without an exponent: 1.0E7 is how Yida prints ten
// million. Nothing is rounded; one that is out of all bounds stays what it is, for
// a rule to refuse.
func plainNumber(text string) string {
	at := strings.IndexAny(text, "eE")
	if at < 0 {
		return text
	}
	exponent, err := strconv.Atoi(strings.TrimPrefix(text[at+1:], "+"))
	exact, ok := new(big.Rat).SetString(text[:at])
	if err != nil || !ok || exponent > 30 || exponent < -30 || len(text) > 60 {
		return text
	}
	power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil))
	if exponent < 0 {
		power.Inv(power)
	}
	places, _ := exact.Mul(exact, power).FloatPrec()
	return exact.FloatString(places)
}

// yidaList is a list in a text, and one text or number alone what it is: a person,
// a department, the one box that is ticked.
func yidaList(value jsontext.Value) string {
	var list []jsontext.Value
	if json.Unmarshal(value, &list) != nil {
		return string(value)
	}
	if len(list) == 0 {
		return ""
	}
	if one := text(list[0]); len(list) == 1 && one != "" && !strings.HasPrefix(one, "[") {
		return one
	}
	return string(value)
}

// yidaBeside is what stands in …_id beside a value, as the extension of a
// component: of a text the key of the chosen option, of a list the people. A list
// of another length is not about it.
func yidaBeside(value, beside jsontext.Value) string {
	var ext any
	switch value.Kind() {
	case '"':
		key := text(beside)
		if key == "" {
			return ""
		}
		ext = map[string]string{"key": key, "label": text(value)}
	case '[':
		var names, ids []jsontext.Value
		if json.Unmarshal(value, &names) != nil || json.Unmarshal(beside, &ids) != nil || len(names) != len(ids) || len(ids) == 0 {
			return ""
		}
		people := []map[string]string{}
		for i, id := range ids {
			people = append(people, map[string]string{"emplId": text(id), "name": text(names[i])})
		}
		ext = people
	default:
		return ""
	}
	out, err := json.Marshal(ext, json.Deterministic(true))
	if err != nil {
		return "" // texts of an answer that was read already; this cannot happen
	}
	return string(out)
}

// yidaRows are the rows of a sub-form; nil for a list that is none: attachments
// are objects with an address. An id says it, an alias does not.
func yidaRows(component string, value jsontext.Value) ([]Row, error) {
	if component != "" && component != "tableField" {
		return nil, nil
	}
	var list []map[string]jsontext.Value
	isRows := json.Unmarshal(value, &list) == nil
	if !isRows || len(list) == 0 && component == "" {
		return nil, nil
	}
	rows := make([]Row, 0, len(list))
	for _, one := range list {
		if one["downloadUrl"] != nil || one["previewUrl"] != nil {
			return nil, nil
		}
		cells, err := yidaFields(one)
		if err != nil {
			return nil, err
		}
		rows = append(rows, slices.DeleteFunc(Row(cells), func(f FormField) bool { return f.Value == "" }))
	}
	return rows, nil
}
