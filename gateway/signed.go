package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"kdgate/identity"
)

// signedWindow is how far the signed time may be from ours.
const signedWindow = 5 * time.Minute

// SignedReceiver takes what another system says. It avoids the import of the
// room that acts on it.
type SignedReceiver interface {
	// Take takes a request in charge, whole or not at all; one whose Digest it knows
	// does nothing more. ErrSignedContent says that the content is wrong; its text is
	// for the sender, who has proven itself.
	Take(ctx context.Context, r SignedRequest) error
}

// SignedRequest is a request whose sender is proven.
type SignedRequest struct {
	Body      []byte
	Digest    [sha256.Size]byte // of the signature: the same for a replay, another for the same words said again
	Source    string
	RequestID string
}

// SignedMemory is how long a digest must be known: past it the signed time is too old.
const SignedMemory = 2*signedWindow + time.Minute

// ErrSignedContent is a signed request whose content is refused.
var ErrSignedContent = errors.New("gateway: the content is refused")

// Signed is the door of a system that signs its requests, such as HR's.
type Signed struct {
	Receiver SignedReceiver
	Secret   identity.Secret
	Old      identity.Secret // accepted too while the secret is changed (R57); zero: none
	Now      func() time.Time
}

// ServeHTTP proves the sender before anything of the body is looked at.
func (s *Signed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxEvent))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok && tooLarge != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil || !s.proven(r.Header, body) {
		http.Error(w, "refused", http.StatusForbidden)
		return
	}
	err = s.Receiver.Take(r.Context(), SignedRequest{
		Body: body, Digest: sha256.Sum256([]byte(r.Header.Get(identity.HeaderSignature))), Source: SourceOf(r.Context()), RequestID: RequestIDOf(r.Context()),
	})
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case errors.Is(err, ErrSignedContent):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	default:
		http.Error(w, "try again", http.StatusServiceUnavailable)
	}
}

// proven compares in constant time, also where the header is malformed (T127).
func (s *Signed) proven(header http.Header, body []byte) bool {
	if len(header.Values(identity.HeaderTimestamp)) != 1 || len(header.Values(identity.HeaderSignature)) != 1 {
		return false
	}
	stamp := header.Get(identity.HeaderTimestamp)
	good := sameText(s.Secret.SignMessage(stamp, body), header.Get(identity.HeaderSignature))
	if !s.Old.IsZero() {
		good = sameText(s.Old.SignMessage(stamp, body), header.Get(identity.HeaderSignature)) || good
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || len(stamp) != 10 {
		return false
	}
	off := s.Now().Sub(time.Unix(seconds, 0)).Abs()
	return good && off <= signedWindow
}
