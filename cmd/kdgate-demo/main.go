package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/internal/app"
	"kdgate/internal/config"
	"kdgate/kingdee/kingdeesim"
	"kdgate/mapping"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err := app.NoCore(); err != nil {
		fmt.Fprintln(os.Stderr, "kdgate-demo: a crash may leave its memory in a file:", err)
	}
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "kdgate-demo:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "kdgate-demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parse(args, stderr)
	if err != nil {
		return err
	}
	d := &demo{flags: f, stdout: stdout, stderr: stderr, people: append(cast(), crowd(f.people)...)}
	defer d.close()
	if err := d.start(ctx); err != nil {
		return err
	}
	d.announce()
	return d.wait(ctx)
}

// demo is the trial while it runs.
type demo struct {
	flags
	stdout, stderr io.Writer
	people         []member
	server         *app.Server
	folder         string // to remove at the end, empty when it is kept
	secretFile     string // of the console's emergency account
	simulators     []*http.Server
	listening      func() bool // the gateway hears events
	failed         chan error
}

func (d *demo) start(ctx context.Context) error {
	d.failed = make(chan error, 4)
	for _, address := range []*string{&d.gateway, &d.ops} {
		if err := choosePort(ctx, address); err != nil {
			return err
		}
	}
	dingSecret, kingdeeSecret := "demo-"+rand.Text(), strings.ToLower(rand.Text()+"abcdef")
	if d.only != "kingdee" {
		sim, err := dingtalksim.New(d.dingTalkConfig(dingSecret))
		if err != nil {
			return err
		}
		if err := sim.AddRobot(dingtalksim.Robot{Name: "ops", Token: robotToken(dingSecret), Secret: robotSecret(dingSecret)}); err != nil {
			return err
		}
		if d.dingtalk, err = d.serve(ctx, d.dingtalk, sim); err != nil {
			return err
		}
		d.listening = func() bool { return len(sim.StreamConnections(appKey)) > 0 }
	}
	if d.only != "dingtalk" {
		sim, err := kingdeesim.New(kingdee(d.people, kingdeeSecret))
		if err != nil {
			return err
		}
		if d.kingdee, err = d.serve(ctx, d.kingdee, sim); err != nil {
			return err
		}
	}
	if d.only != "" {
		fmt.Fprintf(d.stderr, "app key %s secret %s; app id %s secret %s\n", appKey, dingSecret, appID, kingdeeSecret)
		return nil
	}
	if err := d.startGateway(ctx, dingSecret, kingdeeSecret); err != nil {
		return err
	}
	d.awaitEvents(ctx)
	return nil
}

// listenTime bounds the wait for the stream of events.
const listenTime = 5 * time.Second

// awaitEvents waits until the gateway hears what happens in DingTalk, so that
// nothing done after "ready" is heard late.
func (d *demo) awaitEvents(ctx context.Context) {
	if d.directory != "on" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listenTime)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !d.listening() {
		select {
		case <-ctx.Done():
			return // the redelivery brings what was missed
		case <-ticker.C:
		}
	}
}

func (d *demo) dingTalkConfig(secret string) dingtalksim.Config {
	cfg := dingTalk(d.people, d.gateway, secret)
	cfg.QPS = d.qps
	return cfg
}

// choosePort replaces port 0, because the configuration must name the port
// before anybody listens on it.
func choosePort(ctx context.Context, address *string) error {
	host, port, err := net.SplitHostPort(*address)
	if err != nil || port != "0" {
		return err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", *address)
	if err != nil {
		return err
	}
	_, port, _ = net.SplitHostPort(listener.Addr().String())
	*address = net.JoinHostPort(host, port)
	return listener.Close()
}

// serve runs a simulator and says where, because a port of 0 is chosen now.
func (d *demo) serve(ctx context.Context, address string, handler http.Handler) (string, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	d.simulators = append(d.simulators, server)
	go func() { d.failed <- server.Serve(listener) }()
	host, _, _ := net.SplitHostPort(address)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return net.JoinHostPort(host, port), nil
}

func (d *demo) startGateway(ctx context.Context, dingSecret, kingdeeSecret string) error {
	folder := d.data
	if folder == "" {
		var err error
		if folder, err = os.MkdirTemp("", "kdgate-demo-"); err != nil {
			return err
		}
		d.folder = folder
	}
	cfg, err := d.configure(folder, dingSecret, kingdeeSecret)
	if err != nil {
		return err
	}
	logTo := d.stderr
	if d.quiet {
		logTo = io.Discard
	}
	d.server, err = app.NewServer(ctx, app.Options{
		Config: cfg, Replica: "demo", Version: "demo", Logger: slog.New(slog.NewTextHandler(logTo, nil)),
		NoticeGather: time.Second, NoticeAsk: 2 * time.Second, // somebody sits there and looks
	})
	if err != nil {
		return err
	}
	d.secretFile = app.SecretFile(cfg)
	if err := d.seed(ctx); err != nil {
		return errors.Join(err, d.server.Close())
	}
	go func() { d.failed <- d.server.Run(ctx) }()
	return nil
}

// configure writes the configuration that a person would write, secrets in
// files, and reads it the way production does.
func (d *demo) configure(folder, dingSecret, kingdeeSecret string) (*config.Config, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"dingtalk.secret": dingSecret, "kingdee.secret": kingdeeSecret, "robot-token.secret": robotToken(dingSecret), "robot.secret": robotSecret(dingSecret),
		"yida.secret": dingtalksim.SampleYidaToken,
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	store := "{driver: sqlite, path: data/kdgate.db}"
	seal := ""
	if d.redis != "" {
		tenant, err := keepSealKey(filepath.Join(folder, "seal.key"))
		if err != nil {
			return nil, err
		}
		store = fmt.Sprintf("{driver: redis, url: %q, tenant: %s}", d.redis, tenant)
		seal = "seal: {key_file: seal.key}"
	}
	path := filepath.Join(folder, "kdgate.yaml")
	qps := d.qps
	if qps <= 0 {
		qps = map[bool]int{true: 20, false: 100000}[qps == 0]
	}
	text := fmt.Sprintf(template, d.gateway, d.gateway, d.ops, store, seal, corpID, appKey, agentID, d.dingtalk, d.dingtalk,
		d.dingtalk, d.dingtalk, d.dingtalk, qps, centreID, centreName, d.kingdee, d.mode, dbID, appID, integrator, d.directory, d.consent)
	for _, p := range d.people {
		if p.role != "" {
			text += fmt.Sprintf("  - {corp: %s, userid: %s, role: %s}\n", corpID, p.userid, p.role)
		}
	}
	text += fmt.Sprintf(approvalRule, d.dingtalk)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return config.Load(path, nil)
}

// keepSealKey makes the key that a Redis store is sealed with, once for a kept
// folder, and names the tenant after it: what another key sealed is not ours.
func keepSealKey(path string) (tenant string, err error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, config.MinSealKey)
		if _, err := rand.Read(key); err != nil {
			return "", err
		}
		err = os.WriteFile(path, key, 0o600)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("demo-%x", sha256.Sum256(key))[:21], nil
}

const template = `# The trial's configuration, written by kdgate-demo. The names are those of production.
public_url: http://%s
listen: {address: "%s"}
ops: {address: "%s"}
store: %s
%s
audit: {dir: data/audit, anchor: {file: data/anchor.jsonl}}
corps:
  - id: %s
    app_key: %s
    app_secret_file: dingtalk.secret
    agent_id: %d
    endpoints: {oapi: "http://%s", api: "http://%s", login: "http://%s", jsapi: "http://%s/jsapi/dingtalk.open.js"}
    approval_page: "http://%s/sim/comments?instance={instance}"   # the simulator has no page of an approval
    quota: {qps: %d, directory_per_minute: 600}
    yida: [{app: ` + dingtalksim.SampleYidaApp + `, system_token_file: yida.secret, reader: manager01}]
data_centres:
  - id: %s
    name: %s
    url: http://%s/K3Cloud/
    mode: %s
    db_id: %s
    app_id: %s
    app_secret_file: kingdee.secret
    integration_user: %s
forms:
  - {name: expense, form_id: ER_ExpReimbursement, types: [bill, list]}
  - {name: approvals, form_id: WF_AssignmentBill, types: [list]}
  - {name: stock, form_id: STK_Inventory, types: [list, bill]}
robots:
  - {name: ops, token_file: robot-token.secret, secret_file: robot.secret}
notices:
  - {name: low-stock, kind: low_stock, to: ["role:mapping-admin"], fallbacks: ["robot:ops"], link: stock}
  - {name: bills-waiting, kind: query, title: 单据待审核, to: [zhangsan], form: ER_ExpReimbursement, link: expense, columns: [{field: FBillNo}, {field: FExpAmountSum, title: 金额}], where: [{field: FDocumentStatus, is: "=", values: [B]}]}
  - {name: dead-letters, kind: dead_letters, to: ["role:admin"], fallbacks: ["robot:ops"]}
  - {name: errors, kind: errors, to: ["role:admin"]}
  - {name: leavers, kind: leavers, to: ["robot:ops"], groups: true}
# Comparisons come once a day, so the cast stays as it is; kdgate directory run does one now.
# Everybody is in the company itself (1); without a department in Kingdee nobody has a post, and no login user is found.
directory: {mode: %s, every: "@every 24h", departments: [{id: 1, number: BM000001}], default_position: GW0001, create_user: true, consent: {mode: %s}}
admins:
`

// seed fills the mapping table with what the cast needs, through the table itself.
func (d *demo) seed(ctx context.Context) error {
	by := mapping.Actor{Name: "cli:demo", Admin: true}
	for _, p := range d.people {
		if p.mapped == nil {
			continue
		}
		draft := *p.mapped
		draft.Key = p.key()
		if _, err := d.server.Table().Get(ctx, draft.Key); err == nil {
			continue // a kept folder has its table already
		}
		if _, err := d.server.Table().Create(ctx, by, draft); err != nil {
			return fmt.Errorf("seed %s: %w", p.userid, err)
		}
		if p.suspended {
			if _, err := d.server.Table().Suspend(ctx, by, draft.Key, "left"); err != nil {
				return fmt.Errorf("seed %s: %w", p.userid, err)
			}
		}
	}
	return nil
}

// announce prints where everything is, one a line, then ready.
func (d *demo) announce() {
	if d.only != "kingdee" {
		fmt.Fprintf(d.stdout, "workbench: http://%s/workbench\n", d.dingtalk)
	}
	if d.only != "dingtalk" {
		fmt.Fprintf(d.stdout, "kingdee: http://%s/K3Cloud/\n", d.kingdee)
	}
	if d.only == "" {
		fmt.Fprintf(d.stdout, "gateway: http://%s\n", d.gateway)
		fmt.Fprintf(d.stdout, "console: http://%s/admin/\n", d.gateway)
		fmt.Fprintf(d.stdout, "ops: http://%s\n", d.ops)
		fmt.Fprintf(d.stdout, "console sign-in: %s\n", d.consoleSignIn())
	}
	fmt.Fprintln(d.stdout, "ready")
}

// consoleSignIn says who may enter the console, and the emergency account's
// one-time secret while it is not used.
func (d *demo) consoleSignIn() string {
	var people []string
	for _, p := range d.people {
		if p.role != "" {
			people = append(people, fmt.Sprintf("%s (%s)", p.userid, p.role))
		}
	}
	words := "with DingTalk as " + strings.Join(people, ", ")
	secret, err := os.ReadFile(d.secretFile)
	if err != nil {
		return words // used before, in a kept folder
	}
	return words + "; emergency account breakglass, one-time secret " + strings.TrimSpace(string(secret))
}

// wait returns when the signal comes or a part fails.
func (d *demo) wait(ctx context.Context) error {
	if d.server == nil {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.failed:
			return err
		}
	}
	err := <-d.failed // the gateway's own end comes here too, after its requests are done
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("a part stopped: %w", err)
}

func (d *demo) close() {
	for _, server := range d.simulators {
		_ = server.Close() // a simulator holds nothing worth waiting for
	}
	if d.folder != "" {
		_ = os.RemoveAll(d.folder) // what stays is in the temporary folder anyway
	}
}
