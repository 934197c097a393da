package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"kdgate/identity"
)

const consentPath = "/consent"

// Consents is the register of who has agreed that personal data go to Kingdee
// (F44). It stands here so that gateway need not import mapping/consent.
type Consents interface {
	// Consent is what a person has said; the kind NotFound means that nobody asks
	// people of this organisation.
	Consent(ctx context.Context, who identity.Subject) (Consent, error)
	// Say writes down what the person says about exactly the text that they were
	// shown, by its version and its digest.
	Say(ctx context.Context, who identity.Assertion, given bool, version, digest string) error
}

// Consent is how a person stands to the text in force.
type Consent struct {
	State   string // given, withdrawn, or empty: nothing was said
	Current bool   // it is about the version in force
	At      time.Time
	Version string            // in force
	Texts   map[string]string // by language; empty: our own
	Kinds   []string          // what goes to Kingdee only with consent, for the words
	Minimum bool              // without it the minimum goes, not nothing
}

// consentView is the person's own page.
type consentView struct {
	Consent
	Name, UserID string
	When         string
	Text         string
	Digest       string // of what is shown, so that the answer is about it
}

// Given reports a consent that counts.
func (v consentView) Given() bool { return v.State == "given" && v.Current }

// digestOf names the text that a page shows: words, kinds of data and version.
func digestOf(lang, text string, c Consent) string {
	hash := sha256.New()
	for _, part := range append([]string{lang, text, c.Version}, c.Kinds...) {
		_, _ = hash.Write([]byte(part + "\x00")) // a hash has no error
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// consentOf gathers the page of the person of the session.
func (g *Gateway) consentOf(r *http.Request) (consentView, identity.Principal, error) {
	if g.cfg.Consents == nil {
		return consentView{}, identity.Principal{}, notFound()
	}
	who, err := g.cfg.Sessions.Current(r)
	if err != nil {
		return consentView{}, who, err
	}
	found, err := g.cfg.Consents.Consent(r.Context(), who.Subject)
	if identity.KindOf(err) == identity.NotFound && err != nil {
		return consentView{}, who, notFound()
	}
	words := g.pages.Catalogue().For(r)
	view := consentView{Consent: found, Name: who.Name, UserID: who.Subject.UserID, When: clockOf(found.At), Text: found.Texts[words.Lang]}
	if view.Text == "" {
		view.Text = words.T("consent.text")
		if found.Minimum {
			view.Text += "\n\n" + words.T("consent.text-minimum")
		}
	}
	view.Digest = digestOf(words.Lang, view.Text, found)
	return view, who, err
}

// consent shows a person what goes to Kingdee, and lets them agree or withdraw.
func (g *Gateway) consent(w http.ResponseWriter, r *http.Request) error {
	view, _, err := g.consentOf(r)
	if identity.KindOf(err) == identity.Unauthenticated && err != nil {
		return g.begin(w, r, wanted{Path: consentPath})
	}
	if err != nil {
		return &failure{err: err, retry: consentPath}
	}
	g.page(w, r, page{status: http.StatusOK, name: "consent", data: view, policy: policy{framed: true, forms: true}})
	return nil
}

// sayConsent takes the answer. One about a text that has changed since it was
// shown is no answer: the page is shown again.
func (g *Gateway) sayConsent(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "form: %w", err)
	}
	view, who, err := g.consentOf(r)
	if err != nil {
		return &failure{err: err, retry: consentPath}
	}
	say := r.PostForm.Get("say")
	if say != "give" && say != "withdraw" {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "neither give nor withdraw")
	}
	if say == "withdraw" || r.PostForm.Get("digest") == view.Digest {
		if err := g.cfg.Consents.Say(r.Context(), who.Assertion, say == "give", view.Version, view.Digest); err != nil {
			return &failure{err: err, who: who.Assertion, retry: consentPath}
		}
	}
	seeOther(w, consentPath)
	return nil
}
