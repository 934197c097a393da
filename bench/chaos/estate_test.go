package chaos

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/internal/app"
	"kdgate/internal/config"
	"kdgate/internal/lockedbuffer"
	"kdgate/mapping"
)

// publicHost is what browsers call the balancer.
const publicHost = "localhost:8443"

// estate is what replicas share: vendors, Redis, the sealing key, and the log.
type estate struct {
	tb      testing.TB
	vendors *vendors
	dir     string
	log     *lockedbuffer.Buffer
	store   string // the store section
}

// newEstate founds an estate whose store section is what stands in the braces.
func newEstate(tb testing.TB, v *vendors, store string) *estate {
	tb.Helper()
	e := &estate{tb: tb, vendors: v, dir: tb.TempDir(), log: &lockedbuffer.Buffer{}}
	e.store = "{driver: redis, tenant: chaos, " + store + "}"
	for name, text := range map[string]string{
		"dingtalk.secret": v.dingSecret, "kingdee.secret": v.kingdeeSecret, "seal.key": "seal" + rand.Text() + rand.Text(),
	} {
		must(tb, os.WriteFile(filepath.Join(e.dir, name), []byte(text), 0o600))
	}
	return e
}

const configText = `
public_url: http://%s
listen: {address: "127.0.0.1:0", leave: 300ms}
ops: {address: "127.0.0.1:0"}
store: %s
seal: {key_file: ../seal.key}
audit: {dir: audit, anchor: {file: anchor.jsonl}}
limits: {signin_per_address: 10000000, signin_total: 60000000}
corps:
  - id: %s
    app_key: %s
    app_secret_file: ../dingtalk.secret
    agent_id: %d
    endpoints: {oapi: "http://%s", api: "http://%s", login: "http://%s"}
    quota: {qps: 1000000}
data_centres:
  - id: %s
    name: chaos
    url: http://%s/K3Cloud/
    db_id: %s
    app_id: %s
    app_secret_file: ../kingdee.secret
    integration_user: %s
    api: {max_sessions: 5}
`

// replica is one gateway of the estate, with an audit log of its own.
type replica struct {
	*app.Server
	name string
	stop func() error // as SIGTERM does; once
}

// start starts a replica; its folder outlives it.
func (e *estate) start(name string) *replica {
	e.tb.Helper()
	dir, v := filepath.Join(e.dir, name), e.vendors
	must(e.tb, os.MkdirAll(dir, 0o700))
	path := filepath.Join(dir, "kdgate.yaml")
	must(e.tb, os.WriteFile(path, fmt.Appendf(nil, configText, publicHost, e.store, corpID, appKey, agentID,
		v.dingAddr, v.dingAddr, v.dingAddr, centreID, v.kingAddr, dbID, appID, integrator), 0o600))
	cfg, err := config.Load(path, nil)
	must(e.tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	server, err := app.NewServer(ctx, app.Options{
		Config: cfg, Replica: name, Version: "chaos", Egress: dingtalk.EgressConfig{Calls: 100_000_000},
		Logger: slog.New(slog.NewJSONHandler(e.log, nil)).With("replica", name),
	})
	if err != nil {
		cancel()
		e.tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	r := &replica{Server: server, name: name}
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	e.tb.Cleanup(func() {
		if err := r.stop(); err != nil {
			e.tb.Errorf("%s ended with %v", name, err)
		}
	})
	return r
}

// addPeople imports the rows as an administrator would.
func addPeople(tb testing.TB, r *replica, people int) {
	tb.Helper()
	var file strings.Builder
	file.WriteString("corp,userid,data_centre,staff_number\n")
	for i := range people {
		fmt.Fprintf(&file, "%s,%s,%s,%s\n", corpID, userid(i), centreID, userid(i))
	}
	sheet, err := mapping.ParseCSV(strings.NewReader(file.String()))
	must(tb, err)
	by := mapping.Actor{Name: "cli:chaos", Admin: true}
	plan, err := r.Table().Plan(tb.Context(), by, sheet, nil)
	must(tb, err)
	if plan.Create != people {
		tb.Fatalf("%d of %d rows would be made", plan.Create, people)
	}
	_, err = r.Table().Apply(tb.Context(), by, plan, mapping.ApplyOptions{})
	must(tb, err)
}

// suspend takes a person's row out of force by way of r.
func suspend(tb testing.TB, r *replica, number int) error {
	tb.Helper()
	subject := identity.Subject{Corp: corpID, UserID: userid(number)}
	_, err := r.Table().Suspend(tb.Context(), mapping.Actor{Name: "cli:chaos", Admin: true}, mapping.KeyOf(subject, centreID), "left")
	return err
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
