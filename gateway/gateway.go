package gateway

import (
	"fmt"
	"net/http"

	"kdgate/internal/randomid"
	"kdgate/web"
)

// Gateway is the handler of the public listener. Build it with New.
type Gateway struct {
	cfg        Config
	pages      *web.Pages
	imprints   *imprints
	keys       keys
	states     *states
	self       string // this Gateway, told from those of other replicas
	pulse      *pulse
	claims     *claims
	limiter    *limiter
	openings   *openings
	tarpit     *tarpit
	mux        *http.ServeMux
	handler    http.Handler
	references *references
	fixed      http.Header // baseline of every answer
	proxied    *DataCentre // the one behind the reverse proxy; nil: none

	corps   map[string]Corp
	centres map[string]DataCentre
	forms   map[string]Form
}

// New checks cfg, reports all its mistakes at once, and builds the handler.
func New(cfg Config) (*Gateway, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if cfg.Pages == nil {
		var err error
		if cfg.Pages, err = web.New(); err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
	}
	g := &Gateway{
		cfg: cfg, pages: cfg.Pages, imprints: newImprints(), keys: keys{secret: cfg.Secret, old: cfg.OldSecrets}, mux: http.NewServeMux(),
		corps: map[string]Corp{}, centres: map[string]DataCentre{}, forms: map[string]Form{},
		limiter: newLimiter(cfg.Limits, cfg.Now), openings: newOpenings(cfg.Limits, cfg.Now), tarpit: newTarpit(cfg.Now),
	}
	var err error
	if g.states, err = newStates(cfg.Store, g.keys, cfg.Now, cfg.Rand); err != nil {
		return nil, err
	}
	if g.self, err = randomid.New(cfg.Rand); err != nil {
		return nil, err
	}
	g.pulse = &pulse{store: cfg.Store, now: cfg.Now}
	g.claims = &claims{store: cfg.Store, now: cfg.Now, rand: cfg.Rand}
	for _, corp := range cfg.Corps {
		g.corps[corp.ID] = corp
	}
	for _, dc := range cfg.DataCentres {
		g.centres[dc.ID] = dc
	}
	for _, form := range cfg.Forms {
		g.forms[form.Name] = form
	}
	if proxied := cfg.proxied(); len(proxied) == 1 {
		g.proxied = &proxied[0]
	}
	g.references, g.fixed = newReferences(cfg.Rand), Baseline(cfg.PublicURL.Scheme)
	g.mount()
	g.handler = g.edge()
	return g, nil
}

// ServeHTTP answers every request of the public listener.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.handler.ServeHTTP(w, r) }

// Handle adds a route of another room (reverse proxy, console, events) behind
// the same edge. It is for the composition root, before the first request.
func (g *Gateway) Handle(pattern string, h http.Handler) { g.mux.Handle(pattern, h) }

// routes lists every route of this package; nothing else is public (T48).
func (g *Gateway) routes() map[string]endpoint {
	return map[string]endpoint{
		"GET /{$}":                             g.home,
		"GET " + signInPath:                    g.signInPage,
		"POST " + clientPath:                   g.signInClient,
		"GET " + oauthPath:                     g.signInBrowser,
		"GET " + callbackPath:                  g.signInCallback,
		"GET /launch/{target}":                 g.launch,
		"GET /launch/{target}/{form}":          g.launch,
		"GET /launch/{target}/{form}/{id}":     g.launch,
		"POST /launch/choose":                  g.choose,
		"POST " + accessPath:                   g.askAccess,
		"GET " + consentPath:                   g.consent,
		"POST " + consentPath:                  g.sayConsent,
		"GET " + ownPath:                       g.own,
		"POST " + ownEndPath:                   g.endOwn,
		"POST /signout":                        g.signOut,
		"GET /signed-out":                      g.signedOut,
		"POST /handover":                       g.handoverIssue,
		"GET /handover/{ticket}":               g.handoverPage,
		"POST /handover/{ticket}":              g.handoverRedeem,
		"GET " + forwardAuthPath:               g.forwardAuth,
		"GET " + forwardSignInPath:             g.forwardSignIn,
		"GET " + forwardEnterPath:              g.forwardEnter,
		"GET " + hostStartPath:                 g.hostStart,
		"GET " + hostCallbackPath:              g.hostCallback,
		"GET " + web.AssetPrefix + "{path...}": g.asset,
	}
}

func (g *Gateway) mount() {
	for pattern, serve := range g.routes() {
		g.mux.Handle(pattern, g.serve(serve))
	}
}

// asset serves what web embeds; the rest gets our own 404 page.
func (g *Gateway) asset(w http.ResponseWriter, r *http.Request) error {
	if !g.pages.Assets().Has(r.URL.Path) {
		return notFound()
	}
	g.pages.Assets().ServeHTTP(w, r)
	return nil
}
