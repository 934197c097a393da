package checkup

import (
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Fact is something of a vendor's wire that its documents leave open and a setting
// answers. What a test has shown to hold on this very server is confirmed,
// everything else is assumed (reference, open questions).
type Fact struct {
	Peer      string `json:"peer"`
	Key       string `json:"key"`   // of the configuration, below the peer's section
	Value     string `json:"value"` // as it was set
	Confirmed bool   `json:"confirmed"`

	// By are the tests of the peer that pass only where the value is right; none:
	// no call that leaves nothing behind can tell.
	By []string `json:"-"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// weigh says which facts about the tested peers the items have confirmed.
func weigh(facts []Fact, items []Item) []Fact {
	passed, tested := map[[2]string]bool{}, map[string]bool{}
	for _, item := range items {
		passed[[2]string{item.Peer, item.Check}] = item.Status == OK
		tested[item.Peer] = true
	}
	var weighed []Fact
	for _, fact := range facts {
		if !tested[fact.Peer] {
			continue
		}
		fact.Confirmed = len(fact.By) > 0 && !slices.ContainsFunc(fact.By, func(check string) bool { return !passed[[2]string{fact.Peer, check}] })
		weighed = append(weighed, fact)
	}
	return weighed
}

// Confirmed is how many of the facts were confirmed.
func (r Result) Confirmed() int {
	n := 0
	for _, fact := range r.Facts {
		if fact.Confirmed {
			n++
		}
	}
	return n
}

// ConfirmedAt is when one of the check-ups last confirmed the fact with the value
// that it has now, zero when none did. They come newest first.
func (f Fact) ConfirmedAt(results []Result) time.Time {
	for _, result := range results {
		for _, found := range result.Facts {
			if found.Confirmed && found.Peer == f.Peer && found.Key == f.Key && found.Value == f.Value {
				return result.Ended
			}
		}
	}
	return time.Time{}
}
