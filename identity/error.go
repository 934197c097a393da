package identity

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure an error is. Callers branch on kinds, never on texts.
type Kind int

// The kinds of failure.
const (
	Internal        Kind = iota // a fault of ours
	Invalid                     // the request cannot be understood
	Unauthenticated             // nobody is proven
	Forbidden                   // somebody is proven, and may not
	NotFound                    // asked, and it is not there
	Conflict                    // it is there already, or it changed meanwhile
	Throttled                   // too much, try later
	Unavailable                 // could not ask: never to be read as NotFound
	Upstream                    // a vendor answered, and the answer is a refusal or nonsense
	Misconfigured               // an administrator must act before this can work
)

var kindNames = [...]string{
	"internal", "invalid", "unauthenticated", "forbidden", "not found",
	"conflict", "throttled", "unavailable", "upstream", "misconfigured",
}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind(%d)", int(k))
	}
	return kindNames[k]
}

// Error carries a failure in two halves. Kind and Code are public: a person may
// see the code and its catalogue text. Err is private: it goes to the log only.
type Error struct {
	Kind Kind
	Code Code  // short code shown to people, empty when the kind alone says enough
	Err  error // private cause, may be nil
}

// Fail builds an Error whose private half is formatted like fmt.Errorf (use %w).
func Fail(kind Kind, code Code, format string, args ...any) error {
	return &Error{Kind: kind, Code: code, Err: fmt.Errorf(format, args...)}
}

// Error is the private half, for logs. It never reaches a page.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return fmt.Sprintf("%s %s", e.Kind, e.Code)
	case e.Code == "":
		return e.Err.Error()
	default:
		return fmt.Sprintf("%s: %v", e.Code, e.Err)
	}
}

// Unwrap gives the private cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the outermost Error in err, Internal when there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// CodeOf is the first short code found in err's chain, empty when there is none.
func CodeOf(err error) Code {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Code != "" {
			return e.Code
		}
		err = e.Err
	}
	return ""
}
