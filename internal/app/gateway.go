package app

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"

	"kdgate/gateway"
	"kdgate/gateway/proxy"
	"kdgate/identity/token"
	"kdgate/internal/config"
	"kdgate/mapping"
)

// fronts are the handlers of the listeners that people's browsers meet.
type fronts struct {
	public  http.Handler
	console http.Handler // nil: the console stands behind public
}

// newGateway joins the rooms to the handlers of the listeners.
func (s *Server) newGateway(r *rooms) (fronts, error) {
	cfg := r.config
	public, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return fronts{}, err
	}
	proxies, err := prefixes(cfg.Listen.TrustedProxies)
	if err != nil {
		return fronts{}, err
	}
	issuer, err := s.newIssuer(public, r.ring)
	if err != nil {
		return fronts{}, err
	}
	centres, err := s.gatewayCentres(r, public, issuer)
	if err != nil {
		return fronts{}, err
	}
	settings := gateway.Config{
		PublicURL: public, Corps: gatewayCorps(cfg, r), DataCentres: centres, Forms: gatewayForms(cfg),
		TrustedProxies: proxies, Store: s.store, Sessions: s.sessions, Handles: s.sessions, Resolver: r.table, Foreseer: r.table, Access: accessDoor{s.book}, Consents: s.consentDoor(r),
		Own:      ownDoor{s.sessions, s.log},
		Recorder: s.log, Observer: s.metrics, Logger: s.options.Logger, Pages: s.pages,
		Secret: r.ring.gateway[0], OldSecrets: r.ring.gateway[1:], Limits: gatewayLimits(cfg.Limits), ForwardAuth: cfg.ForwardAuth.Origins,
		Asserter: asserter{issuer: issuer, audience: cfg.PublicURL + forwardAudience, now: s.options.Now}, Now: s.options.Now,
		ForwardHosts: cfg.ForwardAuth.HostOrigins(),
		HostAsserter: func(origin string) gateway.Asserter {
			return asserter{issuer: issuer, audience: origin, now: s.options.Now}
		},
		DevInsecure: public.Scheme == "http", // the configuration allows that on loopback only
	}
	front, err := gateway.New(settings)
	if err != nil {
		return fronts{}, err
	}
	front.Handle("GET "+jwksPath, issuer.Handler())
	s.mountHR(r, front)
	if err := s.mountEvents(r, front); err != nil {
		return fronts{}, err
	}
	console, err := s.mountConsole(r, front, settings)
	return fronts{public: front, console: console}, err
}

func prefixes(texts []string) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		prefix, err := config.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		list = append(list, prefix)
	}
	return list, nil
}

func gatewayCorps(cfg *config.Config, r *rooms) []gateway.Corp {
	list := make([]gateway.Corp, 0, len(cfg.Corps))
	for _, corp := range cfg.Corps {
		list = append(list, gateway.Corp{
			ID: corp.ID, ClientID: corp.AppKey, JSAPI: corp.Endpoints.JSAPI, Provider: r.vendors.dingtalk[corp.ID].api,
		})
	}
	return list
}

func (s *Server) gatewayCentres(r *rooms, public *url.URL, issuer *token.Issuer) ([]gateway.DataCentre, error) {
	list := make([]gateway.DataCentre, 0, len(r.config.DataCentres))
	for _, dc := range r.config.DataCentres {
		name := dc.Name
		if name == "" {
			name = dc.ID
		}
		centre := gateway.DataCentre{
			ID: dc.ID, Name: name, Origin: originOf(dc.URL), ServiceProvider: serviceProvider{r.vendors.kingdee[dc.ID].api},
		}
		if dc.Mode == "proxy" {
			through, err := s.newProxy(dc, public, issuer)
			if err != nil {
				return nil, fmt.Errorf("data centre %s: %w", dc.ID, err)
			}
			centre.Origin, centre.Proxy = "", through // people land on our own host
		}
		list = append(list, centre)
		s.metrics.Await(dc.ID)
	}
	return list, nil
}

// newProxy is the way through to one data centre.
func (s *Server) newProxy(dc config.DataCentre, public *url.URL, issuer *token.Issuer) (*proxy.Proxy, error) {
	upstream, err := url.Parse(dc.URL)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := clientTLS(dc.CAFile, dc.ClientCert, dc.ClientKey)
	if err != nil {
		return nil, err
	}
	return proxy.New(proxy.Config{
		Centre: dc.ID, Upstream: upstream, PublicURL: public, KeepHost: dc.Proxy.Host == "public", TLS: tlsConfig,
		AllowHeaders: dc.Proxy.AllowHeaders, DenyPaths: dc.Proxy.DenyPaths, AllowPaths: dc.Proxy.AllowPaths,
		Store: s.store, Sessions: s.sessions, Recorder: s.log, Observer: s.metrics,
		Standing: standing{index: s.index, table: func() *mapping.Table { return s.rooms.Load().table }, dataCentre: dc.ID},
		Signer:   asserter{issuer: issuer, audience: originOf(dc.URL), dataCentre: dc.ID, now: s.options.Now},
		Logger:   s.options.Logger, Now: s.options.Now,
	})
}

// originOf is scheme://host of an address that the configuration has checked.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func gatewayForms(cfg *config.Config) []gateway.Form {
	list := make([]gateway.Form, 0, len(cfg.Forms))
	for _, form := range cfg.Forms {
		list = append(list, gateway.Form{Name: form.Name, FormID: form.FormID, Types: form.Types, Entry: form.Entry})
	}
	return list
}

func gatewayLimits(l config.Limits) gateway.Limits {
	const perMinute = 1.0 / 60
	return gateway.Limits{
		PerAddress: float64(l.SignInPerAddress) * perMinute, AddressSize: l.SignInPerAddress,
		Global: float64(l.SignInTotal) * perMinute, GlobalSize: l.SignInTotal,
		OpenPerAddress: l.OpenPerAddress, OpenTotal: l.OpenTotal,
	}
}
