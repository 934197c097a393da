package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"kdgate/audit"
)

// EventReceiver takes a vendor's events. It avoids the import of the vendor's
// client.
type EventReceiver interface {
	// Receive takes an event in charge and gives the answer that ends the
	// vendor's tries. ErrEventRefused says that the request is not by the vendor;
	// any other error that the event could not be kept and is to come again.
	Receive(ctx context.Context, query url.Values, body []byte) (answer []byte, err error)
}

// ErrEventRefused is a callback that the vendor did not make. Nothing more is
// told to whoever did (T63).
var ErrEventRefused = errors.New("gateway: not an event of ours")

// MaxEvent bounds the body of a callback (T63, R59).
const MaxEvent = 1 << 20

// Events is the door that DingTalk calls for one organisation
// (/callback/dingtalk/{corp}).
type Events struct {
	Receiver EventReceiver
	Recorder Recorder
	Refused  func() // hears of every refusal; nil: nobody does
}

// Records of forgeries at one door: a flood of them must not push out real ones (T118).
const (
	forgeriesAtOnce = 20
	forgeryPause    = time.Second
)

// ServeHTTP answers every refusal with the same bytes.
func (e *Events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxEvent))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok && tooLarge != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	var answer []byte
	if err == nil {
		answer, err = e.Receiver.Receive(r.Context(), r.URL.Query(), body)
	}
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(answer) // a vendor that is gone asks again
	case errors.Is(err, ErrEventRefused):
		e.refuse(w, r)
	default: // the vendor comes again, after 10 s and 30 s
		http.Error(w, "try again", http.StatusServiceUnavailable)
	}
}

func (e *Events) refuse(w http.ResponseWriter, r *http.Request) {
	if e.Refused != nil {
		e.Refused()
	}
	err := e.Recorder.Append(r.Context(), audit.Event{
		Action: audit.ActionCallbackReject, Outcome: audit.Refused, Source: SourceOf(r.Context()), RequestID: RequestIDOf(r.Context()),
		UserAgent: clip(r.UserAgent(), 256),
		Flood:     audit.Flood{Key: r.URL.Path, AtOnce: forgeriesAtOnce, Pause: forgeryPause},
	})
	if err != nil {
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "refused", http.StatusForbidden)
}
