package kingdee

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/internal/peer"
	"kdgate/internal/strictjson"
)

// ErrAmbiguous is behind the error of a write of which nobody knows whether it
// took effect: no answer, a broken one, HTTP 500 after it was sent. It is never
// repeated here, and a caller looks the record up before sending it again (R33).
var ErrAmbiguous = errors.New("kingdee: it is not known whether the write took effect")

// FieldError is one objection of Kingdee.
type FieldError struct {
	Field   string // key, often empty
	Message string // Kingdee's words, masked
	Index   int    // DIndex: the record within the call
}

// Refusal is Kingdee's explicit no to one or more records: nothing was written
// for them. errors.As finds it behind the error of a write.
type Refusal struct {
	MsgCode string
	Errors  []FieldError
}

func (r *Refusal) Error() string {
	texts := make([]string, 0, len(r.Errors))
	for _, e := range r.Errors {
		texts = append(texts, e.Message)
	}
	return "refused: " + strings.Join(texts, "; ")
}

// Duplicate reports that the number is in use. Kingdee has no code for it, so the
// text decides; whoever acts on it looks the record up.
func (r *Refusal) Duplicate() bool {
	for _, e := range r.Errors {
		if strings.Contains(e.Message, "编码唯一") || strings.Contains(e.Message, "已存在") {
			return true
		}
	}
	return false
}

// Repeated reports that Kingdee has been given this very data before
// (ValidateRepeatJson): by its text again, and whoever acts on it looks first.
func (r *Refusal) Repeated() bool {
	for _, e := range r.Errors {
		if strings.Contains(e.Message, "重复") {
			return true
		}
	}
	return false
}

// InUse reports that somebody holds the record open (MsgCode 13): try later.
func (r *Refusal) InUse() bool { return r.MsgCode == "13" }

// saved is one entry of SuccessEntitys.
type saved struct {
	ID, Number string
	Index      int
}

// outcome is what Kingdee said of the records of one write.
type outcome struct {
	id, number string // Result.Id and Result.Number
	done       []saved
	refused    []FieldError
	msgCode    string
	detail     jsontext.Value // Result, for replies with more in them
}

// refusal is the objections as an error, nil when there are none.
func (o outcome) refusal() *Refusal {
	if len(o.refused) == 0 {
		return nil
	}
	return &Refusal{MsgCode: o.msgCode, Errors: o.refused}
}

// envelopeC is the named envelope of operations (reference 3.1).
type envelopeC struct {
	FormID   string `json:"formid,omitempty"`
	OpNumber string `json:"opNumber,omitempty"`
	Data     any    `json:"data"`

	where string // for faults, when FormID is not sent
}

// perform runs one write. With a nil error everything in it succeeded; a *Refusal
// behind the error says what Kingdee refused, the outcome what it did beside
// that; errors.Is(err, ErrAmbiguous) says that nobody knows.
func (c *Client) perform(ctx context.Context, method string, args envelopeC) (outcome, error) {
	body, err := json.Marshal(args)
	if err != nil {
		return outcome{}, causedFault(badRequest, args.FormID, err).public()
	}
	var got outcome
	_, err = c.call(ctx, operation{
		name: strings.ToLower(method), where: orText(args.FormID, args.where), path: formService + method + serviceTail,
		contentType: jsonType, body: body, write: true,
		read: func(res peer.Response) ([][]scalar, verdict) {
			var v verdict
			got, v = readWrite(res)
			for i := range got.refused {
				got.refused[i].Message = mask(got.refused[i].Message, c.cfg.AppSecret)
			}
			return nil, v
		},
	})
	fault, isFault := errors.AsType[*Fault](err)
	if !isFault {
		return got, err
	}
	if fault.ambiguous || !perRecord[fault.symptom] {
		return outcome{}, err
	}
	if no := got.refusal(); no != nil {
		told := *fault // the fault may be shared by others
		told.Text, told.cause = "", no
		return got, told.public()
	}
	return got, err
}

// perRecord are the verdicts that concern the records of a call, not the call.
var perRecord = map[symptom]bool{
	validationFailed: true, businessError: true, noData: true, recordInUse: true, partial: true,
}

// wireStatus is ResponseStatus as far as it is read.
type wireStatus struct {
	IsSuccess      *scalar
	MsgCode        scalar
	Errors         jsontext.Value
	SuccessEntitys []struct {
		Id     scalar //nolint:revive // the vendor's spelling
		Number scalar
		DIndex scalar
	}
}

// wireResult is Result of a write.
type wireResult struct {
	ResponseStatus *wireStatus
	Id             jsontext.Value //nolint:revive // the vendor's spelling; a number, text or null
	Number         jsontext.Value
}

// readWrite reads the reply of a write. Only IsSuccess true is success.
func readWrite(res peer.Response) (outcome, verdict) {
	body, v := triage(res, true)
	if v.symptom != fine {
		return outcome{}, v
	}
	var reply struct {
		Result         jsontext.Value
		ResponseStatus *wireStatus
	}
	if strictjson.Decode(body, &reply) != nil {
		return outcome{}, rejected(body)
	}
	reply.Result = alone(reply.Result)
	var result wireResult
	if reply.Result.Kind() == '{' && jsonv2.Unmarshal(reply.Result, &result) != nil {
		return outcome{}, shapeless(reply.Result)
	}
	if result.ResponseStatus == nil {
		result.ResponseStatus = reply.ResponseStatus // seen at the top level too
	}
	if result.ResponseStatus == nil || result.ResponseStatus.IsSuccess == nil {
		return outcome{}, rejected(body)
	}
	out := outcome{id: plainValue(result.Id), number: plainValue(result.Number), detail: reply.Result}
	return out.judged(*result.ResponseStatus)
}

// alone is the one element of an array: Result was seen in one too (reference 3.4).
func alone(value jsontext.Value) jsontext.Value {
	var list []jsontext.Value
	if value.Kind() == '[' && jsonv2.Unmarshal(value, &list) == nil && len(list) == 1 {
		return list[0]
	}
	return value
}

// rejected reads an answer without the envelope of a write: an error in another
// of the shapes that were seen, or nothing known.
func rejected(body []byte) verdict {
	var any jsontext.Value
	if strictjson.Decode(body, &any) != nil {
		return shapeless(body)
	}
	return errorIn(any)
}

func plainValue(v jsontext.Value) string {
	var s scalar
	if len(v) == 0 || s.UnmarshalJSON(v) != nil {
		return ""
	}
	return string(s)
}

// judged fills in the records and decides.
func (o outcome) judged(status wireStatus) (outcome, verdict) {
	o.msgCode = string(status.MsgCode)
	for _, e := range status.SuccessEntitys {
		index, err := dIndex(e.DIndex)
		if err != nil {
			return outcome{}, verdict{unexpected, "SuccessEntitys with an unreadable DIndex"}
		}
		o.done = append(o.done, saved{internalID(e.Id), string(e.Number), index})
	}
	var err error
	if o.refused, err = fieldErrors(status.Errors); err != nil {
		return outcome{}, verdict{unexpected, "Errors of an unknown shape"}
	}
	if status.IsSuccess.isTrue() {
		return o, verdict{}
	}
	text := messages(status.Errors)
	if len(o.done) > 0 {
		return o, verdict{partial, text}
	}
	s, ok := rowOfMsgCode[o.msgCode]
	switch {
	case !ok:
		return o, textVerdict(text)
	case s == exception && strings.Contains(text, "业务对象不存在"):
		s = badRequest
	}
	return o, verdict{s, text}
}

func dIndex(s scalar) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(string(s))
	if err != nil || n < 0 {
		return 0, fmt.Errorf("kingdee: DIndex: %w", strconv.ErrSyntax)
	}
	return n, nil
}

// fieldErrors reads Errors: objects, plain texts, or null.
func fieldErrors(value jsontext.Value) ([]FieldError, error) {
	if len(value) == 0 || value.Kind() == 'n' {
		return nil, nil
	}
	var list []jsontext.Value
	if err := jsonv2.Unmarshal(value, &list); err != nil {
		return nil, fmt.Errorf("kingdee: Errors: %w", err)
	}
	out := make([]FieldError, 0, len(list))
	for _, item := range list {
		var entry struct{ FieldName, Message, DIndex scalar }
		if item.Kind() != '{' {
			out = append(out, FieldError{Message: plainValue(item)})
			continue
		}
		if err := jsonv2.Unmarshal(item, &entry); err != nil {
			return nil, fmt.Errorf("kingdee: Errors: %w", err)
		}
		index, err := dIndex(entry.DIndex)
		if err != nil {
			return nil, err
		}
		out = append(out, FieldError{Field: string(entry.FieldName), Message: string(entry.Message), Index: index})
	}
	return out, nil
}
