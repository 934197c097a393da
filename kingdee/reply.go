package kingdee

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/peer"
	"kdgate/internal/strictjson"
)

// scalar is a JSON text, number, boolean or null, as text: Kingdee sends ids and
// flags either way. Null is empty, and so is the one space that Kingdee keeps for
// an empty text; a number keeps its digits.
type scalar string

// UnmarshalJSON refuses objects and arrays.
func (s *scalar) UnmarshalJSON(data []byte) error {
	switch value := jsontext.Value(data); value.Kind() {
	case 'n':
		*s = ""
	case 't', 'f', '0':
		*s = scalar(bytes.TrimSpace(data))
	case '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return fmt.Errorf("kingdee: text: %w", err)
		}
		if *s = scalar(text); text == " " {
			*s = ""
		}
	default:
		return fmt.Errorf("kingdee: a %s where a plain value belongs", value.Kind())
	}
	return nil
}

func (s scalar) isTrue() bool { return strings.EqualFold(string(s), "true") || s == "1" }

// verdict is a reply, judged: a symptom and the words that came with it.
type verdict struct {
	symptom symptom
	text    string
}

// triage judges what is the same for every operation: the status, and bodies
// that are no JSON. fine means that the body is JSON, yet to be read.
func triage(res peer.Response, write bool) (body []byte, v verdict) {
	body = bytes.TrimSpace(bytes.TrimPrefix(res.Body, []byte("\ufeff")))
	text := plainBody(body)
	if known, ok := knownText(text); ok {
		return nil, verdict{known, text}
	}
	if strings.HasPrefix(text, "response_error:") { // an error whatever the status
		return nil, verdict{responseError, text}
	}
	if s := statusSymptom(res.Status, write); s != fine {
		return nil, verdict{s, fmt.Sprintf("HTTP %d", res.Status)}
	}
	switch {
	case len(body) == 0 && write:
		return nil, verdict{writeUnknown, "empty body"}
	case len(body) == 0:
		return nil, verdict{serverDown, "empty body"}
	case body[0] == '<':
		return nil, verdict{htmlPage, ""}
	case text != "":
		return nil, verdict{unexpected, fmt.Sprintf("plain text of %d bytes", len(body))}
	}
	return body, verdict{}
}

// plainBody gives the words of a body that is a message: plain text, or a JSON
// string. Objects, arrays and pages are none. Its length is bounded, because it
// is searched and logged.
func plainBody(body []byte) string {
	const longest = 4096
	if len(body) == 0 || bytes.IndexByte([]byte("{[<"), body[0]) >= 0 {
		return ""
	}
	var text string
	if body[0] != '"' || json.Unmarshal(body, &text) != nil {
		text = string(body)
	}
	return text[:min(len(text), longest)]
}

func knownText(text string) (symptom, bool) {
	for _, known := range knownTexts {
		if strings.Contains(text, known.part) {
			return known.symptom, true
		}
	}
	return fine, false
}

func statusSymptom(status int, write bool) symptom {
	switch {
	case status >= 200 && status < 300:
		return fine
	case status >= 300 && status < 400:
		return redirected
	case status == 429:
		return callLimit
	case status < 500:
		return statusRefused
	case write:
		return writeUnknown
	case status == 500:
		return serverError
	default:
		return serverDown
	}
}

// readRows reads the answer of ExecuteBillQuery. Only an array of arrays of
// plain values, each as wide as asked, is data; "[]" is data too: asked, and
// nobody there. An error stands inside such an array as an object.
func readRows(res peer.Response, width int) ([][]scalar, verdict) {
	body, v := triage(res, false)
	if v.symptom != fine {
		return nil, v
	}
	var outer []jsontext.Value
	if body[0] != '[' {
		var object jsontext.Value
		if strictjson.Decode(body, &object) != nil {
			return nil, shapeless(body)
		}
		return nil, errorIn(object)
	}
	if strictjson.Decode(body, &outer) != nil {
		return nil, shapeless(body)
	}
	rows := make([][]scalar, 0, len(outer))
	for _, value := range outer {
		row, bad := readRow(value, width)
		if bad.symptom != fine {
			return nil, bad
		}
		rows = append(rows, row)
	}
	return rows, verdict{}
}

func readRow(value jsontext.Value, width int) ([]scalar, verdict) {
	if value.Kind() == '{' {
		return nil, errorIn(value)
	}
	var cells []jsontext.Value
	if value.Kind() != '[' || json.Unmarshal(value, &cells) != nil {
		return nil, shapeless(value)
	}
	for _, cell := range cells {
		if cell.Kind() == '{' { // one client saw nulls behind it, so the width says nothing
			return nil, errorIn(cell)
		}
	}
	row := make([]scalar, len(cells))
	for i, cell := range cells {
		if row[i].UnmarshalJSON(cell) != nil {
			return nil, shapeless(cell)
		}
	}
	if len(row) != width {
		return nil, verdict{unexpected, fmt.Sprintf("row of %d values, %d asked for", len(row), width)}
	}
	return row, verdict{}
}

// envelope is every shape in which a status was seen: under Result, at the top,
// bare, or as a bare error entry (reference 3.4).
type envelope struct {
	Result         jsontext.Value
	ResponseStatus jsontext.Value
	IsSuccess      *scalar
	MsgCode        scalar
	Errors         jsontext.Value
	SuccessEntitys jsontext.Value
	Message        *scalar
}

// errorIn reads an object that stands where data should. It never says fine:
// an object is not an answer to a query, also when it claims success.
func errorIn(object jsontext.Value) verdict {
	for range 6 { // Result, ResponseStatus, and arrays around either
		var env envelope
		if object.Kind() == '[' {
			var list []jsontext.Value
			if json.Unmarshal(object, &list) != nil || len(list) == 0 {
				return shapeless(object)
			}
			object = list[0]
			continue
		}
		if object.Kind() != '{' || json.Unmarshal(object, &env) != nil {
			return shapeless(object)
		}
		switch {
		case env.IsSuccess != nil:
			return statusVerdict(env)
		case env.ResponseStatus.Kind() == '{':
			object = env.ResponseStatus
		case env.Result.Kind() == '{' || env.Result.Kind() == '[':
			object = env.Result
		case env.Message != nil:
			return textVerdict(string(*env.Message))
		default:
			return shapeless(object)
		}
	}
	return shapeless(object)
}

// statusVerdict decides by MsgCode first and by text last.
func statusVerdict(env envelope) verdict {
	text := messages(env.Errors)
	if env.IsSuccess.isTrue() {
		return verdict{unexpected, "success without data"}
	}
	if env.SuccessEntitys.Kind() == '[' && len(bytes.TrimSpace(env.SuccessEntitys)) > len("[]") {
		return verdict{partial, text}
	}
	s, ok := rowOfMsgCode[string(env.MsgCode)]
	switch {
	case !ok:
		return textVerdict(text)
	case s == exception && strings.Contains(text, "业务对象不存在"):
		s = badRequest // row 20 names this one text
	}
	return verdict{s, text}
}

// textVerdict is for messages that came without a code.
func textVerdict(text string) verdict {
	if known, ok := knownText(text); ok {
		return verdict{known, text}
	}
	return verdict{businessError, text}
}

// messages joins the texts of Errors: objects with Message, plain texts, or null.
func messages(value jsontext.Value) string {
	var list []jsontext.Value
	if value.Kind() != '[' || json.Unmarshal(value, &list) != nil {
		return ""
	}
	const most = 3
	var texts []string
	for _, item := range list[:min(len(list), most)] {
		var entry struct{ Message scalar }
		var text scalar
		if json.Unmarshal(item, &entry) == nil {
			texts = append(texts, string(entry.Message))
		} else if text.UnmarshalJSON(item) == nil {
			texts = append(texts, string(text))
		}
	}
	return strings.Join(texts, "; ")
}

// shapeless describes an answer by shape, never by content (row 30).
func shapeless(value []byte) verdict {
	kind := "nothing"
	if len(value) > 0 {
		kind = jsontext.Value(value).Kind().String()
	}
	return verdict{unexpected, fmt.Sprintf("JSON beginning with %s, %d bytes", kind, len(value))}
}
