package app

import (
	"context"
	"errors"
	"fmt"

	"kdgate/dingtalk"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/internal/metrics"
	"kdgate/internal/peer"
	"kdgate/kingdee"
	"kdgate/mapping"
)

// vendors are the clients of both sides, by corp and by data centre.
type vendors struct {
	dingtalk map[string]*dingtalk.Client
	kingdee  map[string]*kingdee.Client
}

func newVendors(options Options, m *metrics.Metrics) (vendors, error) {
	v := vendors{dingtalk: map[string]*dingtalk.Client{}, kingdee: map[string]*kingdee.Client{}}
	egress := dingtalk.NewEgress(options.Egress) // a ban hits the address, so every corp behind it pauses
	var errs []error
	for _, corp := range options.Config.Corps {
		client, err := newDingTalk(corp, options, egress, m)
		if err != nil {
			errs = append(errs, fmt.Errorf("corp %s: %w", corp.ID, err))
			continue
		}
		v.dingtalk[corp.ID] = client
	}
	for _, dc := range options.Config.DataCentres {
		client, err := newKingdee(dc, options, m)
		if err != nil {
			errs = append(errs, fmt.Errorf("data centre %s: %w", dc.ID, err))
			continue
		}
		v.kingdee[dc.ID] = client
	}
	return v, errors.Join(errs...)
}

var tokenCalls = map[string]dingtalk.TokenCall{
	"access_token": dingtalk.TokenAccessToken, "gettoken": dingtalk.TokenGetToken, "corp_token": dingtalk.TokenCorp,
}

func newDingTalk(corp config.Corp, options Options, egress *dingtalk.Egress, m *metrics.Metrics) (*dingtalk.Client, error) {
	return dingtalk.New(dingtalk.Config{
		Corp: corp.ID, AppKey: corp.AppKey, AppSecret: corp.AppSecret, AgentID: corp.AgentID,
		Endpoints: dingtalk.Endpoints{OAPI: corp.Endpoints.OAPI, API: corp.Endpoints.API, Login: corp.Endpoints.Login},
		TokenCall: tokenCalls[corp.TokenCall],
		Peer:      peer.New(peer.Config{}), Egress: egress,
		Limits: dingtalk.Limits{QPS: float64(corp.Quota.QPS), ReserveLogin: corp.Quota.ReserveLogin},
		Now:    options.Now, Logger: options.Logger, Observer: m.Peer("dingtalk"),
	})
}

func newKingdee(dc config.DataCentre, options Options, m *metrics.Metrics) (*kingdee.Client, error) {
	tlsConfig, err := clientTLS(dc.CAFile, dc.ClientCert, dc.ClientKey)
	if err != nil {
		return nil, err
	}
	return kingdee.New(kingdee.Config{
		ID: dc.ID, BaseURL: dc.URL, AllowPlainHTTP: dc.Insecure,
		DBID: dc.DBID, AppID: dc.AppID, AppSecret: dc.AppSecret, IntegrationUser: dc.IntegrationUser, LCID: dc.LCID,
		Link: kingdeeLink(dc.Link), Users: kingdeeUsers(dc.Users),
		API: kingdee.APIConfig{
			Auth: kingdee.Auth(dc.API.Auth), Hash: kingdee.Hash(dc.API.Hash), PageSize: dc.API.PageSize,
			SessionIdle: dc.API.SessionIdle, MaxSessions: dc.API.MaxSessions, MaxConcurrency: dc.API.MaxSessions,
			AcceptMinus5: dc.API.AcceptMinus5,
		},
		Peer: peer.New(peer.Config{TLS: tlsConfig}), Now: options.Now, Logger: options.Logger,
		Observer: m.Peer("kingdee").PeerCall,
	})
}

func kingdeeLink(link config.Link) kingdee.LinkConfig {
	encoding := "none"
	if link.UDEncoding {
		encoding = "utf-8"
	}
	return kingdee.LinkConfig{
		Version: link.Version, Hash: kingdee.Hash(link.Hash), Permitcount: link.Permitcount,
		Characters: link.Characters, UDEncoding: encoding, Entry: kingdee.Entry(link.Entry), Mobile: link.MobileEntry, Window: link.Window,
	}
}

func kingdeeUsers(users config.Users) kingdee.UsersConfig {
	return kingdee.UsersConfig{
		Route: kingdee.Route(users.Route), Listed: users.Listed,
		Staff: kingdee.StaffKeys{Form: users.StaffForm, Number: users.StaffNumberField, Person: users.StaffPersonField},
		Post:  kingdee.PostKeys{Form: users.PostForm, Person: users.PersonField},
		User:  kingdee.UserKeys{Form: users.UserForm, Name: users.UserNameField, Link: users.UserLinkField},
	}
}

func (v vendors) directories() map[string]mapping.Directory {
	all := make(map[string]mapping.Directory, len(v.kingdee))
	for id, client := range v.kingdee {
		all[id] = client
	}
	return all
}

func (v vendors) profilers() map[string]mapping.Profiler {
	all := make(map[string]mapping.Profiler, len(v.dingtalk))
	for id, client := range v.dingtalk {
		all[id] = client
	}
	return all
}

// serviceProvider is one data centre as the gateway sees it.
type serviceProvider struct{ client *kingdee.Client }

// MintLink implements gateway.ServiceProvider.
func (p serviceProvider) MintLink(_ context.Context, account identity.Account, place gateway.Place) (identity.Secret, error) {
	return p.client.MintLink(account.LoginUser, kingdee.Place{
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
	_ gateway.Recorder        = recorder{}
	_ mapping.Recorder        = recorder{}
	_ mapping.Directory       = (*kingdee.Client)(nil)
	_ mapping.Profiler        = (*dingtalk.Client)(nil)
	_ dingtalk.Observer       = metrics.Peer{}
)
