package mapping

import (
	"context"
	"fmt"
	"strings"

	"kdgate/identity"
)

// numberSource says where a person's staff number comes from when no row names it.
type numberSource struct {
	kind      string // one of the source… constants
	extension string // name of the extension field
}

const (
	fromUserID    = "userid"
	fromJobNumber = "job_number"
	fromExtension = "extension"
	fromNothing   = "none"
)

func parseNumberSource(text string) (numberSource, error) {
	kind, name, named := strings.Cut(text, ":")
	switch {
	case text == "":
		return numberSource{kind: fromUserID}, nil
	case kind == fromExtension && named && name != "":
		return numberSource{kind: kind, extension: name}, nil
	case !named && (kind == fromUserID || kind == fromJobNumber || kind == fromNothing):
		return numberSource{kind: kind}, nil
	}
	return numberSource{}, fmt.Errorf("mapping: staff number from %q: want userid, job_number, extension:NAME or none", text)
}

// deriveNumber gives the staff number of a person without one in a row, empty
// when none can be derived. DingTalk is asked only when an attribute is needed.
// Names, mobiles and mail addresses are no source (T22).
func (t *Table) deriveNumber(ctx context.Context, s identity.Subject) (string, Source, error) {
	var number string
	source := SourceDerived
	switch t.number.kind {
	case fromNothing:
		return "", SourceNone, nil
	case fromUserID:
		number = s.UserID
	default:
		profile, err := t.profile(ctx, s)
		if err != nil {
			return "", SourceDingTalk, err
		}
		number, source = profile.JobNumber, SourceDingTalk
		if t.number.kind == fromExtension {
			number = profile.Extension[t.number.extension]
		}
	}
	if refused := CheckStaffNumber(number); RefusalOf(refused) == nil {
		return number, source, nil
	}
	return "", source, nil // no staff number can look like this: nothing to ask for (T27)
}

func (t *Table) profile(ctx context.Context, s identity.Subject) (identity.Profile, error) {
	profiler, ok := t.cfg.Profiles[s.Corp]
	if !ok {
		return identity.Profile{}, identity.Fail(identity.Misconfigured, identity.CodeDingTalkSetup,
			"mapping: no profiles of corp %q can be asked for", s.Corp)
	}
	profile, err := profiler.Profile(ctx, s.UserID)
	switch {
	case err != nil && identity.CodeOf(err) == "":
		return profile, identity.Fail(identity.Unavailable, identity.CodeDingTalkDown, "mapping: profile: %w", err)
	case err != nil:
		return profile, fmt.Errorf("mapping: profile: %w", err)
	case profile.Subject != s:
		return profile, identity.Fail(identity.Upstream, identity.CodeDingTalkDown, "mapping: asked for %v, got %v", s, profile.Subject)
	}
	return profile, nil
}
