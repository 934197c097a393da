package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/internal/metrics"
	"kdgate/internal/peer"
	"kdgate/kingdee"
	"kdgate/mapping"
)

// client is one vendor's client, the connections it speaks over and the section
// of the configuration it was made from.
type client[C, Section any] struct {
	api     C
	peer    *peer.Client
	section Section
}

// vendors are the clients of both sides, by corp and by data centre.
type vendors struct {
	dingtalk map[string]client[*dingtalk.Client, config.Corp]
	kingdee  map[string]client[*kingdee.Client, config.DataCentre]
}

// newVendors takes the clients over whose section did not change: they hold
// tokens, sessions that are licence seats in Kingdee, and pauses that a vendor
// asked for.
func (c *Core) newVendors(cfg *config.Config, old vendors) (vendors, error) {
	v := vendors{
		dingtalk: map[string]client[*dingtalk.Client, config.Corp]{},
		kingdee:  map[string]client[*kingdee.Client, config.DataCentre]{},
	}
	var errs []error
	for _, corp := range cfg.Corps {
		made, kept := old.dingtalk[corp.ID]
		if !kept || !reflect.DeepEqual(made.section, corp) {
			var err error
			if made, err = c.newDingTalk(corp); err != nil {
				errs = append(errs, fmt.Errorf("corp %s: %w", corp.ID, err))
			}
		}
		v.dingtalk[corp.ID] = made
	}
	for _, dc := range cfg.DataCentres {
		made, kept := old.kingdee[dc.ID]
		files := dc.CAFile != "" || dc.ClientCert != "" // their content may be new under the same name
		if !kept || files || !reflect.DeepEqual(made.section, dc) {
			var err error
			if made, err = c.newKingdee(dc); err != nil {
				errs = append(errs, fmt.Errorf("data centre %s: %w", dc.ID, err))
			}
		}
		v.kingdee[dc.ID] = made
	}
	return v, errors.Join(errs...)
}

// hangUp ends the idle connections of clients that next does not have.
func (v vendors) hangUp(next vendors) {
	for id, old := range v.dingtalk {
		if next.dingtalk[id].peer != old.peer {
			old.peer.CloseIdle()
		}
	}
	for id, old := range v.kingdee {
		if next.kingdee[id].peer != old.peer {
			old.peer.CloseIdle()
		}
	}
}

func (c *Core) newDingTalk(corp config.Corp) (client[*dingtalk.Client, config.Corp], error) {
	made := client[*dingtalk.Client, config.Corp]{peer: peer.New(peer.Config{}), section: corp}
	settings := dingTalkSettings(corp)
	settings.Peer, settings.Egress = made.peer, c.egress // a ban hits the address, so every corp behind it pauses
	settings.Now, settings.Logger, settings.Observer = c.options.Now, c.options.Logger, c.metrics.Peer("dingtalk")
	if c.tallies != nil { // a check-up without a store counts the month for itself
		settings.Limits.Counter = c.tallies
	}
	var err error
	made.api, err = dingtalk.New(settings)
	return made, err
}

func (c *Core) newKingdee(dc config.DataCentre) (client[*kingdee.Client, config.DataCentre], error) {
	made := client[*kingdee.Client, config.DataCentre]{section: dc}
	tlsConfig, err := clientTLS(dc.CAFile, dc.ClientCert, dc.ClientKey)
	if err != nil {
		return made, err
	}
	made.peer = peer.New(peer.Config{TLS: tlsConfig})
	var held kingdee.LaneFunc // nil: no other replica dates links
	if c.lane != nil {
		held = c.lane.held
	}
	settings := kingdeeSettings(dc)
	settings.Claim, settings.Lane = c.linkClaim(dc.ID), held
	settings.Since = c.options.Now() // also of a reload: this client remembers no link of the one before it
	settings.Peer, settings.Now, settings.Logger = made.peer, c.options.Now, c.options.Logger
	settings.Observer = c.metrics.Peer("kingdee").PeerCall
	made.api, err = kingdee.New(settings)
	return made, err
}

func (v vendors) directories() map[string]mapping.Directory {
	all := make(map[string]mapping.Directory, len(v.kingdee))
	for id, client := range v.kingdee {
		all[id] = client.api
	}
	return all
}

func (v vendors) profilers() map[string]mapping.Profiler {
	all := make(map[string]mapping.Profiler, len(v.dingtalk))
	for id, client := range v.dingtalk {
		all[id] = client.api
	}
	return all
}

// serviceProvider is one data centre as the gateway sees it.
type serviceProvider struct{ client *kingdee.Client }

// MintLink implements gateway.ServiceProvider.
func (p serviceProvider) MintLink(ctx context.Context, account identity.Account, place gateway.Place) (identity.Secret, error) {
	return p.client.MintSharedLink(ctx, account.LoginUser, kingdee.Place{
		Entry: kingdee.Entry(place.Entry), FormID: place.FormID, FormType: place.Type, PK: place.PK,
	})
}

// SignOut implements gateway.ServiceProvider.
func (p serviceProvider) SignOut(ctx context.Context, account identity.Account) error {
	return p.client.SignOut(ctx, account.LoginUser)
}

// The rooms fit: each line is an interface that a caller named.
var (
	_ gateway.Provider        = (*dingtalk.Client)(nil)
	_ gateway.Resolver        = (*mapping.Table)(nil)
	_ gateway.ServiceProvider = serviceProvider{}
	_ gateway.Observer        = (*metrics.Metrics)(nil)
	_ gateway.Recorder        = (*audit.Log)(nil)
	_ mapping.Recorder        = (*audit.Log)(nil)
	_ mapping.Directory       = (*kingdee.Client)(nil)
	_ mapping.Profiler        = (*dingtalk.Client)(nil)
	_ dingtalk.Observer       = metrics.Peer{}
)
