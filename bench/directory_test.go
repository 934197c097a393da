package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"text/tabwriter"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/kingdee"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

var townPeople = flag.Int("town", 100_000, "how many people the directory benchmark has (F56)")

// directoryRounds is how often floor and gateway take turns.
const directoryRounds = 5

// directoryOrder is what a part that does one run is told.
type directoryOrder struct {
	Town   string // host:port
	Dir    string // what it keeps between runs
	People int
}

// directoryOutcome is what one run came to.
type directoryOutcome struct {
	Took    time.Duration
	Bytes   int64 // of address book read
	Written int
	Peak    float64 // MiB

	cpu time.Duration
}

func (o directoryOutcome) rate() float64 { return float64(o.Bytes) / 1e6 / o.Took.Seconds() }

// BenchmarkDirectory is F56's throughput beside its floor: everybody read in
// pages of 100 from a peer that serves bytes rendered before, compared with what
// is known, and the one in twenty that changed written to a Kingdee as cheap. The
// gateway's part is the real client, keeper, embedded store and audit log.
func BenchmarkDirectory(b *testing.B) {
	at := startFree(b, "town", strconv.Itoa(*townPeople))
	folders := map[string]string{"floor": b.TempDir(), "gateway": b.TempDir()}
	parts := []string{"floor", "gateway"}
	all := map[string][]directoryOutcome{}
	for range b.N {
		for _, part := range parts {
			tell(b, at, "/reset")
			order := directoryOrder{at, folders[part], *townPeople}
			all[part+" first"] = append(all[part+" first"], runDirectory(b, part, order))
		}
		for range directoryRounds {
			tell(b, at, "/turn")
			for _, part := range parts {
				o := runDirectory(b, part, directoryOrder{at, folders[part], *townPeople})
				if want := (*townPeople + townChanged - 1) / townChanged; o.Written != want {
					b.Fatalf("%s wrote %d of %d changes", part, o.Written, want)
				}
				all[part] = append(all[part], o)
			}
		}
	}
	printDirectory(os.Stdout, all)
	b.ReportMetric(middleOf(all["gateway"], directoryOutcome.rate), "MB/s")
	b.ReportMetric(middleOf(all["floor"], directoryOutcome.rate)/middleOf(all["gateway"], directoryOutcome.rate), "×floor")
}

// TestDirectoryRig proves that both parts do what is measured: the first run
// writes everybody, the next one those who changed and nobody else, and both read
// every byte of the address book.
func TestDirectoryRig(t *testing.T) {
	const people = 2300
	at := startFree(t, "town", strconv.Itoa(people))
	source := newTown(people).source()
	for _, part := range []string{"floor", "gateway"} {
		dir := t.TempDir()
		for run, want := range []int{people, people / townChanged, 0} {
			if run == 1 {
				tell(t, at, "/turn")
			}
			o := runDirectory(t, part, directoryOrder{at, dir, people})
			if o.Written != want || o.Bytes < source*9/10 || o.Bytes > source*11/10 {
				t.Errorf("%s, run %d: %d written, want %d; %d bytes of %d", part, run, o.Written, want, o.Bytes, source)
			}
		}
		tell(t, at, "/reset")
	}
}

func middleOf(rounds []directoryOutcome, of func(directoryOutcome) float64) float64 {
	list := make([]result, len(rounds))
	for i, r := range rounds {
		list[i].rate = of(r)
	}
	return middle(list, func(r result) float64 { return r.rate })
}

func printDirectory(w io.Writer, all map[string][]directoryOutcome) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\npart\trounds\twritten\tMB/s\tseconds\tCPU-s\tpeak MiB\t")
	for _, name := range []string{"floor first", "gateway first", "floor", "gateway"} {
		rounds := all[name]
		if len(rounds) == 0 {
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%.1f\t%.2f\t%.2f\t%.0f\t\n", name, len(rounds), rounds[0].Written,
			middleOf(rounds, directoryOutcome.rate), middleOf(rounds, func(o directoryOutcome) float64 { return o.Took.Seconds() }),
			middleOf(rounds, func(o directoryOutcome) float64 { return o.cpu.Seconds() }), middleOf(rounds, func(o directoryOutcome) float64 { return o.Peak }))
	}
	_ = table.Flush() // standard output
}

func tell(tb testing.TB, at, path string) {
	tb.Helper()
	res, err := http.Get("http://" + at + path)
	if err != nil {
		tb.Fatal(err)
	}
	_ = res.Body.Close()
}

// startFree runs a part on all cores and gives the address it listens at.
func startFree(tb testing.TB, part, order string) string {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return startCommand(tb, exec.Command(self), part, order).addr
}

// runDirectory has a process of its own do one run, so that what it uses is its own.
func runDirectory(tb testing.TB, part string, order directoryOrder) directoryOutcome {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	text, err := json.Marshal(order)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(tb.Context(), self)
	cmd.Env = append(os.Environ(), partEnv+"=directory "+part, orderEnv+"="+string(text))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, os.Stderr
	stay, err := cmd.StdinPipe() // open until it has ended
	if err != nil {
		tb.Fatal(err)
	}
	defer stay.Close()
	if err := cmd.Run(); err != nil {
		tb.Fatalf("%s: %v", part, err)
	}
	var o directoryOutcome
	if err := json.Unmarshal(said.Bytes(), &o); err != nil {
		tb.Fatalf("%s said %q: %v", part, said.String(), err)
	}
	o.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return o
}

var benchKey = bytes.Repeat([]byte("k"), store.MinSealKey)

func openBenchStore(ctx context.Context, dir string) (*store.Sealed, func() error, error) {
	driver, err := sqlitestore.Open(ctx, sqlitestore.Config{Path: filepath.Join(dir, "kdgate.db")})
	if err != nil {
		return nil, nil, err
	}
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{benchKey}})
	return sealed, driver.Close, err
}

// playDirectory is one run of the real thing.
func playDirectory(ctx context.Context, text string) error {
	var order directoryOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	sealed, closeStore, err := openBenchStore(ctx, order.Dir)
	if err != nil {
		return err
	}
	log, err := audit.Open(ctx, audit.Config{Dir: filepath.Join(order.Dir, "audit"), Replica: "node1", Key: benchKey})
	if err != nil {
		return err
	}
	queue, err := jobs.New(jobs.Config{Store: sealed, Recorder: log, Owner: "node1", Alone: true})
	if err != nil {
		return err
	}
	keeper, err := townKeeper(order, sealed, log, queue)
	if err != nil {
		return err
	}
	began := time.Now()
	run, err := keeper.Run(ctx, directory.Order{By: jobs.Actor{Name: audit.System}}, nil)
	took := time.Since(began)
	if err == nil && run.Ending != directory.Complete {
		err = fmt.Errorf("%s %s %v", run.Ending, run.Why, run.Notes)
	}
	err = errors.Join(err, log.Close(), closeStore())
	if err != nil {
		return err
	}
	return sayOutcome(directoryOutcome{Took: took, Bytes: run.Counts.Bytes, Written: run.Counts.Created + run.Counts.Changed})
}

func townKeeper(order directoryOrder, sealed store.Store, log *audit.Log, queue *jobs.Queue) (*directory.Keeper, error) {
	quiet, base := slog.New(slog.DiscardHandler), "http://"+order.Town
	ding, err := dingtalk.New(dingtalk.Config{
		Corp: "dingtown1", AppKey: "dingapp1", AppSecret: identity.NewSecret("town-secret"), AgentID: "1001",
		Endpoints: dingtalk.Endpoints{OAPI: base, API: base, Login: base}, Peer: peer.New(peer.Config{}), Logger: quiet,
		Limits: dingtalk.Limits{QPS: 1e6, DirectoryPerMinute: -1, Month: -1}, Egress: dingtalk.NewEgress(dingtalk.EgressConfig{Calls: 1e9}),
	})
	if err != nil {
		return nil, err
	}
	king, err := kingdee.New(kingdee.Config{
		ID: "live", BaseURL: base + "/K3Cloud/", DBID: "61cd78fbc6aa78", AppID: "231784_Test", AppSecret: identity.NewSecret("0123456789abcdef0123456789abcdef"),
		IntegrationUser: "kdgate", Logger: quiet, API: kingdee.APIConfig{MaxSessions: 5, MaxConcurrency: 5}, // as the gateway has them
	})
	if err != nil {
		return nil, err
	}
	rules := directory.Rules{DefaultPosition: "GW0001", Departments: map[int64]string{}}
	for i := 0; i < order.People; i += townPages * townPage {
		id := int64(townFirst + i/(townPages*townPage))
		rules.Departments[id] = "BM" + strconv.FormatInt(id, 10)
	}
	return directory.New(directory.Config{
		Corp: "dingtown1", DataCentre: "live", Source: ding.Background(), Target: king.Background(), Store: sealed, Recorder: log, Rules: rules,
	}, queue)
}

func sayOutcome(o directoryOutcome) error {
	o.Peak = peakMiB()
	return json.NewEncoder(os.Stdout).Encode(o)
}
