package app

import (
	"net/http"
	"net/netip"
	"net/url"

	"kdgate/gateway"
	"kdgate/internal/config"
)

// newGateway joins the rooms to the handler of the public listener.
func (s *Server) newGateway(r *rooms) (http.Handler, error) {
	cfg := r.config
	public, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return nil, err
	}
	proxies, err := prefixes(cfg.Listen.TrustedProxies)
	if err != nil {
		return nil, err
	}
	return gateway.New(gateway.Config{
		PublicURL: public, Corps: gatewayCorps(cfg, r), DataCentres: gatewayCentres(cfg, r), Forms: gatewayForms(cfg),
		TrustedProxies: proxies, Store: s.store, Sessions: s.sessions, Resolver: r.table,
		Recorder: recorder{s.log, s.metrics}, Observer: s.metrics, Logger: s.options.Logger,
		Secret: s.secret, Limits: gatewayLimits(cfg.Limits), Now: s.options.Now,
		DevInsecure: public.Scheme == "http", // the configuration allows that on loopback only
	})
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

func gatewayCentres(cfg *config.Config, r *rooms) []gateway.DataCentre {
	list := make([]gateway.DataCentre, 0, len(cfg.DataCentres))
	for _, dc := range cfg.DataCentres {
		name := dc.Name
		if name == "" {
			name = dc.ID
		}
		list = append(list, gateway.DataCentre{
			ID: dc.ID, Name: name, Origin: originOf(dc.URL), ServiceProvider: serviceProvider{r.vendors.kingdee[dc.ID].api},
		})
	}
	return list
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
	}
}
