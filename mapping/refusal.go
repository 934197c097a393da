package mapping

import (
	"errors"
	"fmt"

	"kdgate/identity"
	"kdgate/store"
)

// Reason is why a value or a change was refused: a word for programs, which
// the console and the import preview turn into sentences.
type Reason string

// The reasons.
const (
	ReasonEmpty         Reason = "empty"
	ReasonTooLong       Reason = "too-long"
	ReasonNotText       Reason = "not-text"      // not UTF-8
	ReasonFormat        Reason = "format"        // a file that is no such table
	ReasonCharset       Reason = "charset"       // a character the field does not take
	ReasonControl       Reason = "control"       // control, line break, private use, unassigned
	ReasonInvisible     Reason = "invisible"     // zero-width, bidi, variation selectors, fillers
	ReasonSpaceAtEdge   Reason = "space-at-edge" // leading or trailing space
	ReasonMixedScripts  Reason = "mixed-scripts" // letters of scripts that are mixed to deceive
	ReasonLookAlike     Reason = "look-alike"    // another id differs only in case, width or form (T16)
	ReasonTaken         Reason = "taken"         // held by another row (T17)
	ReasonExists        Reason = "exists"        // there is a row for this person
	ReasonAbsent        Reason = "absent"        // there is no such row
	ReasonUnknown       Reason = "unknown"       // no organisation or data centre of the configuration
	ReasonVersion       Reason = "version"       // the row changed meanwhile (T26)
	ReasonAdminNeeded   Reason = "admin-needed"  // only the role admin may
	ReasonPrivileged    Reason = "privileged"    // needs two approvals, so not by this way (T18)
	ReasonOwnChange     Reason = "own-change"    // author or beneficiary may not approve (T100)
	ReasonApproved      Reason = "approved"      // the same administrator approved already
	ReasonDigits        Reason = "digits"        // digit-only login user of another length (T33)
	ReasonLocked        Reason = "locked"
	ReasonSuspended     Reason = "suspended"
	ReasonNotSuspended  Reason = "not-suspended"
	ReasonOwner         Reason = "owner"          // not auto, manual or locked
	ReasonFormula       Reason = "formula"        // a cell that a spreadsheet would execute (T103)
	ReasonDuplicate     Reason = "duplicate"      // the same person twice in one file
	ReasonImportRunning Reason = "import-running" // an import holds the table
	ReasonRefusedRows   Reason = "refused-rows"   // the plan holds refused rows, so nothing is written (T25)
	ReasonChangedSince  Reason = "changed-since"  // rows changed after the run
)

// Refusal is the private half of an error about input: which field, and why.
type Refusal struct {
	Field  string `json:"field,omitempty"`
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"` // for an administrator: the other row, the length wanted
}

func (r *Refusal) Error() string {
	text := fmt.Sprintf("mapping: %s: %s", r.Field, r.Reason)
	if r.Field == "" {
		text = fmt.Sprintf("mapping: %s", r.Reason)
	}
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	return text
}

func refuse(kind identity.Kind, field string, reason Reason, detail string) error {
	return &identity.Error{Kind: kind, Err: &Refusal{Field: field, Reason: reason, Detail: detail}}
}

func invalid(field string, reason Reason) error {
	return refuse(identity.Invalid, field, reason, "")
}

// RefusalOf finds the refusal in an error, nil when it is another failure.
func RefusalOf(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	return nil
}

// storeError names what the store said. "Could not ask" keeps its own code, so
// that it is never read as "not mapped" (R7); a broken seal is no answer either.
func storeError(doing string, err error) error {
	if errors.Is(err, store.ErrConflict) {
		return &identity.Error{Kind: identity.Conflict, Err: fmt.Errorf("mapping: %s: %w", doing, err)}
	}
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "mapping: %s: %w", doing, err)
}
