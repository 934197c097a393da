package checkup

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Status is what one test came to.
type Status string

// The states, the best first.
const (
	OK      Status = "ok"
	Unknown Status = "unknown" // nobody tells; Cause says where to look oneself
	Warning Status = "warning" // works, and will not for ever
	Fault   Status = "fault"
)

// Item is one test.
type Item struct {
	Peer   string `json:"peer"`  // dingtalk/CORP, kingdee/ID, store, audit, host
	Check  string `json:"check"` // what was tested: token, a scope, a form, clock, …
	Status Status `json:"status"`
	// Cause names what is wrong, for the words of people; empty where nothing is.
	Cause string `json:"cause,omitempty"`
	// Detail is the peer's own answer in bounded words, without secrets.
	Detail string `json:"detail,omitempty"`
	// Values are put into the words: ip, link, scope, days, …
	Values map[string]string `json:"values,omitempty"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Result is one check-up. It is a certificate: what was tested, when, by which
// program, and what came out.
type Result struct {
	ID      string    `json:"id"`
	By      string    `json:"by"` // a person, cli:USER, or system for the self-check
	Replica string    `json:"replica"`
	Version string    `json:"version"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"` // zero: under way
	Done    int       `json:"done"`           // peers tested
	Total   int       `json:"total"`
	Only    string    `json:"only,omitempty"` // the one peer that was tested; empty: all
	OK      bool      `json:"ok"`             // no fault
	Items   []Item    `json:"items"`
	Facts   []Fact    `json:"facts,omitempty"` // about the peers that were tested

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Count is how many tests came to a state.
func (r Result) Count(s Status) int {
	n := 0
	for _, item := range r.Items {
		if item.Status == s {
			n++
		}
	}
	return n
}

// Peer is one other side, and how it is tested.
type Peer struct {
	Name string
	Test func(ctx context.Context) []Item // without Peer, which Run fills in
}

// Doctor tests peers.
type Doctor struct {
	Peers   []Peer
	Facts   []Fact // of the configuration in force, unweighed
	Replica string
	Version string
	Now     func() time.Time
}

const (
	patience = 45 * time.Second // for one peer
	atOnce   = 4                // peers
)

// Has reports whether there is a peer of this name.
func (d *Doctor) Has(name string) bool {
	return slices.ContainsFunc(d.Peers, func(p Peer) bool { return p.Name == name })
}

// Run tests every peer, or only the one named, and tells progress in peers. A
// peer that does not end in time is a fault like any other.
func (d *Doctor) Run(ctx context.Context, only string, progress func(done, total int)) Result {
	result := Result{Replica: d.Replica, Version: d.Version, Began: d.Now().UTC(), Only: only}
	var peers []Peer
	for _, p := range d.Peers {
		if only == "" || p.Name == only {
			peers = append(peers, p)
		}
	}
	found := make([][]Item, len(peers))
	var mu sync.Mutex
	done := 0
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, p := range peers {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			found[i] = p.test(ctx)
			mu.Lock()
			defer mu.Unlock()
			done++
			if progress != nil {
				progress(done, len(peers))
			}
		})
	}
	group.Wait()
	result.Items = slices.Concat(found...)
	result.Facts = weigh(d.Facts, result.Items)
	result.Ended, result.OK = d.Now().UTC(), true
	for _, item := range result.Items {
		result.OK = result.OK && item.Status != Fault
	}
	return result
}

// test bounds one peer. A test that panics would end the program with it, so
// tests are ours and do not.
func (p Peer) test(ctx context.Context) []Item {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	items := p.Test(ctx)
	for i := range items {
		items[i].Peer = p.Name
	}
	return items
}

// good is a test that passed.
func good(check, detail string) Item { return Item{Check: check, Status: OK, Detail: detail} }

// Broken is a peer that could not even be asked.
func Broken(check, cause string, err error) Item {
	return Item{Check: check, Status: Fault, Cause: cause, Detail: err.Error()}
}
