package jobs

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ItemPrefix begins the keys under which items are stored, each as JSON.
const ItemPrefix = "job/item/"

// The keys of the domain; doc.go lists them.
const (
	prefixAt    = "job/at/"
	prefixKnown = "job/known/"
	prefixPause = "job/pause/"
)

// digits of a time in microseconds: enough until the year 2286, and in fixed
// width, so that byte order is order of time.
const (
	digits     = 16
	lastMicros = int64(1e16 - 1)
)

func itemKey(id ID) string        { return ItemPrefix + id.String() }
func knownKey(id ID) string       { return prefixKnown + id.String() }
func pauseKey(kind string) string { return prefixPause + kind }

// statePrefix is the range of one state, of one kind when kind is not empty.
func statePrefix(state State, kind string) string {
	prefix := prefixAt + string(state) + "/"
	if kind != "" {
		prefix += kind + "/"
	}
	return prefix
}

// atKey is where an item stands.
func atKey(state State, id ID, at time.Time) string {
	micros := min(max(0, at.UnixMicro()), lastMicros)
	if newestFirst(state) {
		micros = lastMicros - micros
	}
	return fmt.Sprintf("%s%0*d/%s", statePrefix(state, id.Kind), digits, micros, url.PathEscape(id.Key))
}

// newestFirst reports whether lists of state begin with the newest: what waits
// is asked for by age, what is over by how recent it is.
func newestFirst(state State) bool { return state == Done || state == GivenUp }

func (it *Item) atKey() string { return atKey(it.State, it.ID, it.Filed) }

// place is an index key taken apart.
type place struct {
	State State
	ID    ID
	At    time.Time
}

// parsePlace reads an index key; a strange one, perhaps of a newer release, is false.
func parsePlace(key string) (place, bool) {
	rest, ok := strings.CutPrefix(key, prefixAt)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 4 || len(parts[2]) != digits {
		return place{}, false
	}
	micros, err := strconv.ParseInt(parts[2], 10, 64)
	name, err2 := url.PathUnescape(parts[3])
	if err != nil || err2 != nil || micros < 0 {
		return place{}, false
	}
	if newestFirst(State(parts[0])) {
		micros = lastMicros - micros
	}
	return place{State: State(parts[0]), ID: ID{Kind: parts[1], Key: name}, At: time.UnixMicro(micros).UTC()}, true
}
