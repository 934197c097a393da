package localapi_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/localapi"
	"kdgate/mapping"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is the local API over a real table on a real embedded store. Its folder
// holds the announcement, as a data folder does.
type gate struct {
	dir     string
	table   *mapping.Table
	token   identity.Secret
	server  *httptest.Server
	records *records
}

// records keeps what the table had recorded.
type records struct {
	mu   sync.Mutex
	list []audit.Event
}

func (r *records) Append(_ context.Context, e audit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
	return nil
}

func (r *records) actions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, e := range r.list {
		all = append(all, string(e.Action)+" "+e.Actor)
	}
	return all
}

const tokenText = "TOKENTOKENTOKENTOKENTOKEN"

func open(t *testing.T, wrap ...func(localapi.Table) localapi.Table) *gate {
	t.Helper()
	g := &gate{dir: t.TempDir(), token: identity.NewSecret(tokenText), records: &records{}}
	driver, err := sqlitestore.Open(t.Context(), sqlitestore.Config{Path: filepath.Join(g.dir, "kdgate.db")})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{[]byte(strings.Repeat("k", 32))}})
	must(t, err)
	g.table, err = mapping.New(mapping.Config{Store: sealed, Recorder: g.records})
	must(t, err)
	served := func() localapi.Table {
		var table localapi.Table = g.table
		for _, w := range wrap {
			table = w(table)
		}
		return table
	}
	g.server = httptest.NewServer(localapi.NewHandler(localapi.Config{
		Table: served, Token: g.token, Logger: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(g.server.Close)
	must(t, localapi.Announce(g.dir, g.server.Listener.Addr(), g.token))
	return g
}

// dial is what a command does.
func (g *gate) dial(t *testing.T) *localapi.Client {
	t.Helper()
	client, err := localapi.Dial(t.Context(), g.dir, "root")
	must(t, err)
	t.Cleanup(client.Close)
	return client
}

// ask sends one request by hand.
func (g *gate) ask(t *testing.T, path, authorization string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.server.URL+path, nil)
	must(t, err)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := g.server.Client().Do(req)
	must(t, err)
	must(t, res.Body.Close())
	return res.StatusCode
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
