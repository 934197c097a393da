package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/internal/config"
	"kdgate/mapping"
	"kdgate/web"
	"kdgate/web/admin"
)

// console is the listener of the console, where it has one of its own (T107).
type console struct {
	server http.Server
	at     net.Listener // nil: the console stands on the public listener
	front  atomic.Pointer[http.Handler]
	made   atomic.Pointer[admin.Console]

	imports  *admin.Imports  // outlives a reload: what is being written goes on
	verifier *admin.Verifier // likewise
	traffic  *admin.Traffic  // likewise: what is counted stays so
}

// SecretFile is where the emergency account's one-time secret is put.
func SecretFile(cfg *config.Config) string {
	return filepath.Join(DataDir(cfg), "console-secret")
}

// mountConsole puts the console behind the public gateway, or makes the handler
// of its own listener: a second gateway under the console's own name, of which
// only the console and the doors to it are open.
func (s *Server) mountConsole(r *rooms, front *gateway.Gateway, settings gateway.Config) (http.Handler, error) {
	address := r.config.Console.URL
	if r.config.Console.Address == "" {
		return nil, s.handConsole(r, front)
	}
	public, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	settings.PublicURL, settings.DevInsecure = public, public.Scheme == "http"
	settings.Doors = []string{gateway.ConsolePrefix, web.AssetPrefix, "/signin"}
	own, err := gateway.New(settings)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return own, s.handConsole(r, own)
}

// openConsole makes what outlives a reload.
func (s *Server) openConsole() {
	s.console.imports = &admin.Imports{Store: s.store, Now: s.options.Now, Logger: s.options.Logger}
	s.console.traffic = &admin.Traffic{Log: s.log, Logger: s.options.Logger, Now: s.options.Now}
	s.console.verifier = &admin.Verifier{
		Store: s.store, Recorder: s.log, Replica: s.options.Replica,
		Verify: s.verifyAudit, Now: s.options.Now, Logger: s.options.Logger,
	}
}

// handConsole builds the console with its pages. The order of the pages is the
// order of the navigation.
func (s *Server) handConsole(r *rooms, front *gateway.Gateway) error {
	cfg := r.config
	allow, err := prefixes(cfg.Console.Allow)
	if err != nil {
		return fmt.Errorf("console.allow: %w", err)
	}
	made, err := admin.New(admin.Config{
		Store: s.store, Sessions: s.sessions, SignIn: front.SignIn, Recorder: s.log,
		Logger: s.options.Logger, Pages: s.pages, Admins: consoleAdmins(cfg), Barred: barred(r), Allow: allow, Secret: r.ring.gateway[0],
		BreakGlass: cfg.Console.BreakGlass, SecretFile: SecretFile(cfg),
		Idle: cfg.Sessions.Idle, Absolute: cfg.Sessions.Absolute, Now: s.options.Now,
	}, s.consolePages(r)...)
	if err != nil {
		return err
	}
	front.Handle(gateway.ConsolePrefix, made)
	s.console.made.Store(made)
	return nil
}

// ResetBreakGlass implements localapi.Keeper.
func (c *Core) ResetBreakGlass(ctx context.Context, by mapping.Actor) (file string, err error) {
	cfg := c.rooms.Load().config
	file = SecretFile(cfg)
	return file, admin.ResetBreakGlass(ctx, admin.Config{
		Store: c.store, Recorder: c.log, Logger: c.options.Logger,
		BreakGlass: cfg.Console.BreakGlass, SecretFile: file, Now: c.options.Now,
	}, by.Name)
}

// prepareTime bounds the try at the start, before which nothing is served.
const prepareTime = time.Second

// prepareConsole makes the emergency account as soon as the store can be asked:
// a gateway starts without it (R17).
func (s *Server) prepareConsole(ctx context.Context) {
	ticker := time.NewTicker(repairEvery)
	defer ticker.Stop()
	for {
		if err := s.console.made.Load().Prepare(ctx); err == nil {
			return
		}
		select { // readiness tells what is wrong with the store
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// consolePages are the rooms of the console, in the order of its navigation:
// people and how they get in, what runs by itself, what is on record, what it
// all stands on.
func (s *Server) consolePages(r *rooms) []admin.Page {
	corps := consoleCorps(r.config)
	people := []admin.Page{
		s.overviewPage(r),
		s.peoplePage(r),
		&admin.Mapping{
			Table: r.table, Index: s.index, Imports: s.console.imports, Suggest: s.suggest(r),
			Centres: consoleCentres(r.config), Corps: corps,
		},
		s.requestsPage(r),
		&admin.SessionsPage{Keeper: s.sessions},
		s.consentPage(r),
	}
	work := []admin.Page{
		&admin.Notices{Book: noticeBook{s.Core}, Desk: noticeBook{s.Core}, Now: s.options.Now},
		&admin.Jobs{List: s.queue, Clock: s.schedule, Now: s.options.Now},
		s.quotaPage(r),
	}
	record := []admin.Page{
		&admin.Audit{Log: s.log, Verifier: s.console.verifier, Corps: corps},
		&admin.Review{Reviewer: s.reviewer(r), Now: s.options.Now},
		&admin.Personal{Holders: s.holders(r), Log: s.log, Corps: corps, Now: s.options.Now},
		&admin.Connections{Book: s.checkups, Peers: s.peerNames, Facts: s.facts},
		&admin.SetupPage{Book: s.checkups, Log: s.log, Began: s.began},
		s.settingsPage(r),
	}
	return slices.Concat(people, s.directoryPages(r), s.billPages(r), work, record)
}

// overviewPage is the first page.
func (s *Server) overviewPage(r *rooms) *admin.Overview {
	return &admin.Overview{
		Traffic: s.console.traffic, Health: s.consoleHealth, Rows: s.index, Now: s.options.Now,
		Requests: s.book.Waiting, Work: s.queue.Counts, Checkups: s.checkups,
		Quotas: func(ctx context.Context) []admin.QuotaInfo { return quotas(ctx, r) },
	}
}

// settingsPage shows the configuration that these rooms were made from.
func (s *Server) settingsPage(r *rooms) *admin.Settings {
	inForce := func() []admin.Setting { // when somebody looks; nobody else pays for it
		values := r.config.InForce()
		settings := make([]admin.Setting, 0, len(values))
		for _, v := range values {
			settings = append(settings, admin.Setting{Key: v.Name, Value: v.Text, Default: v.Default, About: v.Doc, Secret: v.Secret, Own: v.Own})
		}
		return settings
	}
	return &admin.Settings{InForce: inForce, Warnings: r.config.Warnings, Since: s.options.Now()}
}

func consoleCentres(cfg *config.Config) []admin.Centre {
	list := make([]admin.Centre, 0, len(cfg.DataCentres))
	for _, dc := range cfg.DataCentres {
		list = append(list, admin.Centre{ID: dc.ID, Name: cmp.Or(dc.Name, dc.ID)})
	}
	return list
}

func consoleCorps(cfg *config.Config) []string {
	list := make([]string, 0, len(cfg.Corps))
	for _, corp := range cfg.Corps {
		list = append(list, corp.ID)
	}
	return list
}

func consoleAdmins(cfg *config.Config) map[identity.Subject]admin.Role {
	roles := make(map[identity.Subject]admin.Role, len(cfg.Admins))
	for _, a := range cfg.Admins {
		roles[identity.Subject{Corp: a.Corp, UserID: a.UserID}] = admin.Role(a.Role)
	}
	return roles
}

// barred keeps out whoever's own mapping is suspended: a leaver is no
// administrator, whatever the configuration still says (T43).
func barred(r *rooms) func(context.Context, identity.Subject) (bool, error) {
	return func(ctx context.Context, who identity.Subject) (bool, error) {
		for _, dc := range r.config.DataCentres {
			row, err := r.table.Get(ctx, mapping.KeyOf(who, dc.ID))
			switch {
			case err == nil && row.Status == mapping.StatusSuspended:
				return true, nil
			case err != nil && identity.KindOf(err) != identity.NotFound && identity.KindOf(err) != identity.Invalid:
				return false, err
			}
		}
		return false, nil
	}
}

// consoleHealth is what readiness knows, for the overview.
func (s *Server) consoleHealth(ctx context.Context) []admin.Health {
	answer := s.health.ask(ctx)
	list := make([]admin.Health, 0, len(s.health.checks))
	for _, c := range s.health.checks {
		words := answer.Checks[c.name]
		list = append(list, admin.Health{Name: c.name, OK: words == "ok", Advisory: c.advisory, Words: words})
	}
	return list
}

// listenConsole takes the console's own port, if it has one.
func (s *Server) listenConsole(ctx context.Context, cfg *config.Config, secure *tls.Config) (err error) {
	if cfg.Console.Address == "" {
		return nil
	}
	var lc net.ListenConfig
	if s.console.at, err = lc.Listen(ctx, "tcp", cfg.Console.Address); err != nil {
		return fmt.Errorf("console.address: %w", err)
	}
	s.console.at = s.vetted(s.console.at, secure, cfg)
	s.console.server.DisableGeneralOptionsHandler = true
	s.console.server.Handler = s.recovered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.console.front.Load()).ServeHTTP(w, r)
	}))
	return nil
}

// ConsoleAddr is where the console's own listener stands, nil when it has none.
func (s *Server) ConsoleAddr() net.Addr {
	if s.console.at == nil {
		return nil
	}
	return s.console.at.Addr()
}

// The console fits: each line is an interface that admin named.
var (
	_ admin.Sessions = (*session.Manager)(nil)
	_ admin.Keeper   = (*session.Manager)(nil)
	_ admin.Recorder = (*audit.Log)(nil)
	_ admin.Log      = (*audit.Log)(nil)
	_ admin.Counter  = (*audit.Log)(nil)
	_ admin.Search   = (*mapping.Index)(nil)

	_ admin.AuditReader = (*audit.Log)(nil)
)
