package localapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/go-json-experiment/json"

	"kdgate/audit"
	"kdgate/identity"
)

// Recorder is the audit log of the gateway that runs.
type Recorder interface {
	Append(ctx context.Context, event audit.Event) error
}

// Look is a read of the audit log's file by a command, which the gateway that
// holds the log puts on record (F40).
type Look struct {
	Action audit.Action      `json:"action"` // audit.ActionAuditRead or audit.ActionAuditExport
	Detail map[string]string `json:"detail"` // what was chosen
}

// Event is the record of a look by the operating-system user named user.
func (l Look) Event(user string) (audit.Event, error) {
	if l.Action != audit.ActionAuditRead && l.Action != audit.ActionAuditExport {
		return audit.Event{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "localapi: %q is no look at the log", l.Action)
	}
	detail := maps.Clone(l.Detail)
	if detail == nil {
		detail = map[string]string{}
	}
	detail["via"] = "command"
	return audit.Event{Action: l.Action, Outcome: audit.OK, Actor: "cli:" + user, Target: "list", Source: "local", Detail: detail}, nil
}

// look records before the command reads: no record, no read.
func (h handler) look(w http.ResponseWriter, r *http.Request) {
	var l Look
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, 1<<16), &l); err != nil {
		h.fail(w, identity.Fail(identity.Invalid, identity.CodeBadRequest, "localapi: %w", err))
		return
	}
	name := r.Header.Get("X-Local-User")
	if name == "" {
		name = "unknown"
	}
	event, err := l.Event(name)
	if err == nil {
		err = h.Recorder.Append(r.Context(), event)
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

// Look puts a read of the log on record. Nil: it is there.
func (c *Client) Look(ctx context.Context, l Look) error {
	body, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	res, err := c.send(ctx, http.MethodPost, "audit/look", nil, bytes.NewReader(body))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if closed := res.Body.Close(); err == nil {
		err = closed
	}
	return err
}
