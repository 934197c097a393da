package bench

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kdgate/dingtalk"
	"kdgate/internal/app"
	"kdgate/internal/config"
	"kdgate/internal/logbook"
	"kdgate/internal/loopback"
	"kdgate/mapping"
)

// gatewayOrder is what a gateway process is told.
type gatewayOrder struct {
	Config   string // path of the configuration file
	People   int    // rows to make
	Unbanned bool   // call DingTalk more often than it allows one address
}

// playGateway is the gateway as cmd/kdgate serves it: the same configuration
// file, the same composition root, the log written to a file as a service
// manager would. Only the bound that keeps DingTalk from banning an address can
// be lifted, because it would be measured instead of the gateway.
func playGateway(ctx context.Context, text string) error {
	var order gatewayOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	cfg, err := config.Load(order.Config, nil)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(filepath.Dir(order.Config), "log.json"))
	if err != nil {
		return err
	}
	defer log.Close()
	book := logbook.New(log)
	defer func() { _ = book.Flush() }()
	options := app.Options{Config: cfg, Replica: "bench", Version: "bench", Logger: slog.New(book.Urgent(slog.NewJSONHandler(book, nil)))}
	if order.Unbanned {
		options.Egress = dingtalk.EgressConfig{Calls: 100_000_000}
	}
	server, err := app.NewServer(ctx, options)
	if err != nil {
		return err
	}
	if err := addPeople(ctx, server.Table(), order.People); err != nil {
		_ = server.Close()
		return err
	}
	fmt.Println("ready", server.PublicAddr())
	return server.Run(ctx)
}

// addPeople imports the rows as an administrator would.
func addPeople(ctx context.Context, table *mapping.Table, n int) error {
	var file strings.Builder
	file.WriteString("corp,userid,data_centre,staff_number\n")
	for i := range n {
		fmt.Fprintf(&file, "%s,%s,%s,%s\n", corpID, userid(i), centreID, userid(i))
	}
	sheet, err := mapping.ParseCSV(strings.NewReader(file.String()))
	if err != nil {
		return err
	}
	by := mapping.Actor{Name: "cli:bench", Admin: true}
	plan, err := table.Plan(ctx, by, sheet, nil)
	if err != nil {
		return err
	}
	if plan.Create != n {
		return fmt.Errorf("%d of %d rows would be made", plan.Create, n)
	}
	_, err = table.Apply(ctx, by, plan, mapping.ApplyOptions{})
	return err
}

// settings are what one gateway differs in from another. Empty strings and
// zeros mean the program's own defaults.
type settings struct {
	redis    string // address; empty: the embedded store
	verify   string // mapping.verify_max_age
	sessions int    // data_centres[].api.max_sessions
	mode     string // data_centres[].mode
	raised   bool   // DingTalk's quota and our own limits out of the way
}

// startGateway starts a gateway in a process of its own.
func startGateway(tb testing.TB, v *vendors, s settings) *process {
	tb.Helper()
	order, err := json.Marshal(gatewayOrder{Config: writeConfig(tb, v, s), People: people, Unbanned: s.raised})
	if err != nil {
		tb.Fatal(err)
	}
	return startPart(tb, "gateway", string(order))
}

// writeConfig writes the file that a person would write, secrets beside it.
func writeConfig(tb testing.TB, v *vendors, s settings) string {
	tb.Helper()
	folder := tb.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	write("dingtalk.secret", v.dingSecret)
	write("kingdee.secret", v.kingdeeSecret)
	write("seal.key", rand.Text()+rand.Text())
	store := "{driver: sqlite, path: data/kdgate.db}"
	if s.redis != "" {
		store = fmt.Sprintf("{driver: redis, url: %q, tenant: bench-%s}", "redis://"+s.redis+"/0", strings.ToLower(rand.Text()))
	}
	quota, limits := "{}", "{}"
	if s.raised {
		quota, limits = "{qps: 1000000}", "{signin_per_address: 10000000, signin_total: 60000000}"
	}
	api, table := "{}", "{}"
	if s.sessions > 0 {
		api = fmt.Sprintf("{max_sessions: %d}", s.sessions)
	}
	if s.verify != "" {
		table = fmt.Sprintf("{verify_max_age: %s}", s.verify)
	}
	public := freePort(tb)
	return write("kdgate.yaml", fmt.Sprintf(configText, public, public, freePort(tb), store, limits, table, corpID, appKey, agentID,
		v.dingAddr, v.dingAddr, v.dingAddr, quota, centreID, v.kingAddr, cmp.Or(s.mode, "link"), dbID, appID, integrator, api))
}

const configText = `
public_url: http://localhost:%s
listen: {address: "127.0.0.1:%s"}
ops: {address: "127.0.0.1:%s"}
store: %s
seal: {key_file: seal.key}
audit: {dir: data/audit, anchor: {file: data/anchor.jsonl}}
limits: %s
mapping: %s
corps:
  - id: %s
    app_key: %s
    app_secret_file: dingtalk.secret
    agent_id: %d
    endpoints: {oapi: "http://%s", api: "http://%s", login: "http://%s"}
    quota: %s
data_centres:
  - id: %s
    name: bench
    url: http://%s/K3Cloud/
    mode: %s
    db_id: %s
    app_id: %s
    app_secret_file: kingdee.secret
    integration_user: %s
    api: %s
`

func freePort(tb testing.TB) string {
	tb.Helper()
	port, err := loopback.Port()
	if err != nil {
		tb.Fatal(err)
	}
	return port
}
