package directory_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/jobs"
	"kdgate/jobs/directory"
	"kdgate/kingdee"
	"kdgate/store"
	"kdgate/store/sqlitestore"
)

var long = flag.Bool("long", false, "the figures of the requirements: 10,000 permutations of events, 500 killed runs")

// times is n with -long, and otherwise what a test may take.
func times(short, n int) int {
	if *long {
		return n
	}
	return short
}

// childEnv makes the test binary a process that does one run, to be killed or
// measured.
const childEnv = "KDGATE_TEST_DIRECTORY"

// child is where it finds everything.
type child struct{ Ding, King, Dir string }

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := oneRun(context.Background(), text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// oneRun is the child's whole life: one run, and what it came to on stdout.
func oneRun(ctx context.Context, text string) error {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	driver, err := sqlitestore.Open(ctx, sqlitestore.Config{Path: filepath.Join(c.Dir, "kdgate.db")})
	if err != nil {
		return err
	}
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	if err != nil {
		return err
	}
	log, err := audit.Open(ctx, audit.Config{Dir: filepath.Join(c.Dir, "audit"), Replica: "node1", Key: key})
	if err != nil {
		return err
	}
	queue, err := jobs.New(jobs.Config{Store: sealed, Recorder: log, Owner: "node1", Alone: true})
	if err != nil {
		return err
	}
	ding, king, err := clients(c.Ding, c.King)
	if err != nil {
		return err
	}
	keeper, err := directory.New(directory.Config{
		Corp: corp, DataCentre: "live", Source: ding.Background(), Target: king.Background(), Store: sealed, Recorder: log,
		Rules: directory.Rules{MakeDepartments: true, DefaultPosition: "GW0001"}, Breaker: directory.Breaker{Share: 1},
	}, queue)
	if err != nil {
		return err
	}
	fmt.Println("begins")
	began := time.Now()
	run, err := keeper.Run(ctx, directory.Order{By: cli}, nil)
	if err != nil {
		return err
	}
	took := time.Since(began)
	peak, err := peakMemory()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(outcome{run, took, peak}); err != nil {
		return err
	}
	return errors.Join(log.Close(), driver.Close())
}

// outcome is what a run of a process of its own came to.
type outcome struct {
	Run  directory.Run
	Took time.Duration
	Peak int64 // bytes of memory that the process had at most, zero where nobody tells
}

var peakPattern = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most that this process had in memory.
func peakMemory() (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	found := peakPattern.FindSubmatch(text)
	if err != nil || found == nil {
		return 0, fmt.Errorf("no peak of memory: %w", err)
	}
	n, err := strconv.ParseInt(string(found[1]), 10, 64)
	return n << 10, err
}

// clients speak to both simulators without limits of ours.
func clients(ding, king string) (*dingtalk.Client, *kingdee.Client, error) {
	quiet := slog.New(slog.DiscardHandler)
	d, err := dingtalk.New(dingtalk.Config{
		Corp: corp, AppKey: appKey, AppSecret: identity.NewSecret(appSecret), AgentID: "1001",
		Endpoints: dingtalk.Endpoints{OAPI: ding, API: ding, Login: ding}, Peer: peer.New(peer.Config{}), Logger: quiet,
		Limits: dingtalk.Limits{QPS: 1e6, DirectoryPerMinute: -1, Month: -1}, Egress: dingtalk.NewEgress(dingtalk.EgressConfig{Calls: 1e9}),
	})
	if err != nil {
		return nil, nil, err
	}
	k, err := kingdee.New(kingdee.Config{
		ID: "live", BaseURL: king + "/K3Cloud/", DBID: centreID, AppID: kingApp, AppSecret: identity.NewSecret(kingSecret),
		IntegrationUser: integrator, Logger: quiet,
	})
	return d, k, err
}

// spawn begins a process that does one run.
func (r *rig) spawn(c child) (*exec.Cmd, *bytes.Buffer) {
	r.t.Helper()
	text, err := json.Marshal(c)
	r.must(err)
	cmd := exec.CommandContext(r.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	said := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, os.Stderr
	r.must(cmd.Start())
	return cmd, said
}

// whole lets a process do its run to the end.
func (r *rig) whole(c child) outcome {
	r.t.Helper()
	cmd, said := r.spawn(c)
	r.must(cmd.Wait())
	_, text, _ := bytes.Cut(said.Bytes(), []byte("\n"))
	var done outcome
	r.must(json.Unmarshal(text, &done))
	return done
}

// apart is a rig whose runs are done by processes of their own.
func apart(t testing.TB, people []dingtalksim.Person) (*rig, child) {
	t.Helper()
	r := start(t, people, nil)
	ding, king := httptest.NewServer(r.ding), httptest.NewServer(r.king)
	t.Cleanup(ding.Close)
	t.Cleanup(king.Close)
	return r, child{ding.URL, king.URL, t.TempDir()}
}

// startTime is roughly what the process needs before its run begins.
const startTime = 30 * time.Millisecond

// TestKilled proves R46 and F56's other half: a process that is killed at any
// moment of a run leaves what the next one goes on with, and what comes of it is
// what an undisturbed run would have made: everybody once, every leaver found.
func TestKilled(t *testing.T) {
	people := crowd(400)
	r, c := apart(t, people)
	r.whole(c)
	length := 200 * time.Millisecond // of a run such as the last one
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	killed, leavers := 0, 0
	for round := 0; killed < times(50, 500); round++ {
		r.disturb(people, random, round)
		leavers++
		for kills := 1 + random.IntN(3); kills > 0; kills-- {
			cmd, _ := r.spawn(c)
			timer := time.NewTimer(time.Duration(random.Int64N(int64(length))) + startTime)
			<-timer.C
			r.must(cmd.Process.Kill())
			if err := cmd.Wait(); err != nil { // else it was done before
				killed++
			}
		}
		done := r.whole(c)
		if length = done.Took; done.Run.Ending != directory.Complete || done.Run.Counts.SetAside != 0 {
			t.Fatalf("seed %d, round %d: %s %s %+v %v", seed, round, done.Run.Ending, done.Run.Why, done.Run.Counts, done.Run.Notes)
		}
		if err := r.agrees(); err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
	}
	if n := r.leaversOn(c); n != leavers {
		t.Errorf("seed %d: %d of %d leavers are on the work list", seed, n, leavers)
	}
	t.Logf("%d processes were killed, %d people left", killed, leavers)
}

// disturb changes ten people, brings one and takes one away.
func (r *rig) disturb(people []dingtalksim.Person, random *rand.Rand, round int) {
	r.t.Helper()
	for range 10 {
		who := people[200+random.IntN(200)].UserID
		_, err := r.ding.ChangePerson(corp, who, func(p *dingtalksim.Person) error {
			p.Name = fmt.Sprintf("改%d", random.IntN(1000))
			p.Departments = []int64{[]int64{10, 20, 21}[random.IntN(3)]}
			return nil
		})
		r.must(err)
	}
	_, err := r.ding.AddPerson(corp, person(fmt.Sprintf("n%05d", round), "新人", 20))
	r.must(err)
	_, err = r.ding.RemovePerson(corp, people[round].UserID, "leave")
	r.must(err)
}

// agrees compares both sides: everybody is in Kingdee once, and as DingTalk says.
func (r *rig) agrees() error {
	names := map[string]string{}
	for _, s := range r.king.Staff() {
		if names[s.Number] != "" {
			return fmt.Errorf("two records of %s", s.Number)
		}
		names[s.Number] = s.Name
		if s.DocumentStatus != "C" {
			return fmt.Errorf("%s is left in status %s", s.Number, s.DocumentStatus)
		}
	}
	for _, m := range r.ding.People() {
		if !m.Left.IsZero() {
			continue // what became of them is on the work list
		}
		if names[m.UserID] != m.Name {
			return fmt.Errorf("%s is %q in Kingdee, %q in DingTalk", m.UserID, names[m.UserID], m.Name)
		}
	}
	return nil
}

// leaversOn counts the leavers that the processes put on their work list.
func (r *rig) leaversOn(c child) int {
	r.t.Helper()
	driver, err := sqlitestore.Open(r.t.Context(), sqlitestore.Config{Path: filepath.Join(c.Dir, "kdgate.db")})
	r.must(err)
	defer func() { r.must(driver.Close()) }()
	sealed, err := store.Seal(driver, store.SealConfig{Keys: [][]byte{key}})
	r.must(err)
	items, err := sealed.Scan(r.t.Context(), "job/item/"+directory.KindLeave+"/", "", store.MaxPage)
	r.must(err)
	return len(items)
}
