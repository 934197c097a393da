package app

import (
	"context"
	"io"
	"slices"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/internal/localapi"
	"kdgate/jobs/directory"
	"kdgate/mapping"
	"kdgate/mapping/consent"
	"kdgate/web/admin"
)

// openConsents makes the register, which outlives a reload.
func (c *Core) openConsents() (err error) {
	c.consents, err = consent.New(consent.Config{
		Store: c.store, Recorder: c.log, Changed: c.consentChanged, Now: c.options.Now,
		AsFound: c.sealed.AsFound(),
	})
	return err
}

// consentChanged has a person looked at again: what was held back goes now, or
// goes no longer. Where the work list cannot be written the next comparison sees it.
func (c *Core) consentChanged(ctx context.Context, who identity.Subject) {
	r := c.rooms.Load()
	if r == nil || r.keeper == nil || r.config.Directory.Corp != who.Corp {
		return
	}
	if err := r.keeper.Again(ctx, who.UserID, "consent"); err != nil {
		c.options.Logger.Warn("a person whose consent changed waits for the next comparison", "error", err)
	}
}

// directoryConsents is the register as the directory asks it; nil where nobody
// has to agree.
func (c *Core) directoryConsents(d config.Directory) directory.Consents {
	if !d.Consent.Required() {
		return nil
	}
	return agreed{c.consents, d.Corp, d.Consent.Version}
}

// agreed is one organisation's part of the register, for one version of the text.
type agreed struct {
	register      *consent.Register
	corp, version string
}

// Agreed implements directory.Consents.
func (a agreed) Agreed(ctx context.Context, userid string) (bool, error) {
	row, there, err := a.register.Of(ctx, identity.Subject{Corp: a.corp, UserID: userid})
	return there && row.Counts(a.version), err
}

// All implements directory.Consents.
func (a agreed) All(ctx context.Context) (map[string]bool, error) {
	return a.register.Agreed(ctx, a.corp, a.version)
}

// consentDoor is the register as the gateway sees it, nil where nobody is asked.
func (s *Server) consentDoor(r *rooms) gateway.Consents {
	if d := r.config.Directory; d.On() && d.Consent.Required() {
		return consentDoor{s.consents, d}
	}
	return nil
}

type consentDoor struct {
	register *consent.Register
	cfg      config.Directory
}

// Consent implements gateway.Consents.
func (d consentDoor) Consent(ctx context.Context, who identity.Subject) (gateway.Consent, error) {
	if who.Corp != d.cfg.Corp {
		return gateway.Consent{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "consent: nothing of %s goes to Kingdee", who.Corp)
	}
	row, _, err := d.register.Of(ctx, who)
	found := gateway.Consent{
		State: string(row.State), Current: row.Version == d.cfg.Consent.Version, At: row.At, Version: d.cfg.Consent.Version,
		Kinds: consentKinds(d.cfg), Minimum: d.cfg.Consent.Without == "minimum", Texts: map[string]string{},
	}
	for _, text := range d.cfg.Consent.Texts {
		found.Texts[text.Lang] = text.Text
	}
	return found, err
}

// consentKinds are the kinds of data that go only with consent.
func consentKinds(d config.Directory) []string {
	var kinds []string
	if d.Consent.Without != "minimum" {
		kinds = append(kinds, "number", "name", "post")
	}
	kinds = append(kinds, "mobile", "email", "hired_at")
	for _, field := range d.Fields {
		if !slices.Contains(kinds, field.From) {
			kinds = append(kinds, field.From)
		}
	}
	return kinds
}

// Say implements gateway.Consents.
func (d consentDoor) Say(ctx context.Context, who identity.Assertion, given bool, version, digest string) error {
	word := consent.Word{State: consent.Withdrawn, Version: version, Way: consent.Self, Digest: digest}
	if given {
		word.State = consent.Given
	}
	by := consent.Actor{
		Name: audit.Person(who.Subject), Door: string(who.Door), Source: gateway.SourceOf(ctx), RequestID: gateway.RequestIDOf(ctx),
	}
	_, err := d.register.Note(ctx, by, who.Subject, word)
	return err
}

// consentPage joins the register to the directory, whose people it is held to.
func (s *Server) consentPage(r *rooms) *admin.ConsentPage {
	d := r.config.Directory
	page := &admin.ConsentPage{Register: s.consents, Corp: d.Corp, Version: d.Consent.Version, Required: d.On() && d.Consent.Required(), Minimum: d.Consent.Without == "minimum"}
	if page.Corp == "" {
		page.Corp = r.config.Corps[0].ID
	}
	if r.keeper != nil {
		page.Known = r.keeper.Headcount
	}
	return page
}

// heldConsent is what a person said, each time (F44).
func (s *Server) heldConsent(ctx context.Context, who identity.Subject) ([]any, error) {
	row, there, err := s.consents.Of(ctx, who)
	if err != nil || !there {
		return nil, err
	}
	return []any{row}, nil
}

// consentAPI is the register as commands use it.
func (c *Core) consentAPI() localapi.Consents {
	usual := func() consent.Usual {
		cfg := c.rooms.Load().config
		corp := cfg.Directory.Corp
		if corp == "" {
			corp = cfg.Corps[0].ID
		}
		return consent.Usual{Corp: corp, Version: cfg.Directory.Consent.Version}
	}
	by := func(a mapping.Actor) consent.Actor {
		return consent.Actor{Name: a.Name, Source: a.Source, RequestID: a.RequestID}
	}
	return localapi.Consents{
		List: c.consents.List,
		Import: func(ctx context.Context, a mapping.Actor, file io.Reader, dry bool) (consent.Report, error) {
			return c.consents.Import(ctx, by(a), file, usual(), dry)
		},
		Export: func(ctx context.Context, a mapping.Actor, w io.Writer, f consent.Filter) error {
			return c.consents.Export(ctx, by(a), w, f)
		},
	}
}
