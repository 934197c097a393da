package kingdee

import (
	"context"
	"encoding/json"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/internal/strictjson"
)

// view asks for one record by its internal id.
func (c *Client) view(ctx context.Context, form, id string) (Record, error) {
	body, err := json.Marshal(envelopeC{FormID: form, Data: struct {
		CreateOrgId, Number, Id, IsSortBySeq string //nolint:revive // the vendor's spelling
	}{"0", "", id, "false"}})
	if err != nil {
		return Record{}, causedFault(badRequest, form, err).public()
	}
	var got *Record
	_, err = c.call(ctx, operation{
		name: "view", where: form, path: formService + "View" + serviceTail, contentType: jsonType, body: body,
		read: func(res peer.Response) ([][]scalar, verdict) {
			var v verdict
			got, v = readView(res)
			return nil, v
		},
	})
	switch {
	case err != nil:
		return Record{}, err
	case got == nil: // "no such record" is an answer, and the call has no error then
		return Record{}, identity.Fail(identity.NotFound, "", "kingdee: %s has no record with this id", form)
	}
	return *got, nil
}

// readView reads {"Result":{"ResponseStatus":{…},"Result":{…}}}.
func readView(res peer.Response) (*Record, verdict) {
	body, v := triage(res, false)
	if v.symptom != fine {
		return nil, v
	}
	var reply struct{ Result jsontext.Value }
	if strictjson.Decode(body, &reply) != nil || reply.Result.Kind() != '{' {
		return nil, rejected(body)
	}
	var result struct {
		ResponseStatus *wireStatus
		Result         jsontext.Value
	}
	if jsonv2.Unmarshal(reply.Result, &result) != nil || result.Result.Kind() != '{' {
		return nil, rejected(body)
	}
	if s := result.ResponseStatus; s != nil && s.IsSuccess != nil && !s.IsSuccess.isTrue() {
		return nil, rejected(body)
	}
	out := &Record{}
	if jsonv2.Unmarshal(result.Result, &out.members) != nil {
		return nil, shapeless(result.Result)
	}
	return out, verdict{}
}
