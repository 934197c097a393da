package consent

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// What a row says, for store.SealConfig.Edition.
const (
	editionGiven     = 1
	editionWithdrawn = 2
)

// Edition tells which way a row decides, by which Harmless judges one that a
// failover put back; zero for every other key.
func Edition(key string, value []byte) uint64 {
	if !strings.HasPrefix(key, prefix) {
		return 0
	}
	var row struct {
		State State `json:"state"`
	}
	switch err := json.Unmarshal(value, &row); {
	case err != nil:
		return 0
	case row.State == Given:
		return editionGiven
	default:
		return editionWithdrawn
	}
}

// Harmless reports that an error is about a row that a failover put back, of which
// nothing but a consent was seen since: the person said less then, and is asked
// again. Where a withdrawal was seen the row stays an error until Reassert.
func Harmless(err error) bool {
	key, outdated := store.OutdatedKey(err)
	_, seen := store.OutdatedEditions(err)
	return outdated && strings.HasPrefix(key, prefix) && seen == editionGiven
}

// Reassert puts the withdrawal that a record tells back in force where a failover
// forgot it, and reports whether it had to (R14). A consent is never put back: its
// person is asked again. What the row holds, now or from before, was not forgotten,
// so nobody's clock has a say in it. One that was on record and then failed counts
// too: that is the safe side.
func (g *Register) Reassert(ctx context.Context, r audit.Record) (bool, error) {
	who, word, told := withdrawalIn(r)
	if !told {
		return false, nil
	}
	in := g.cfg.Store
	row, _, err := g.of(ctx, in, who)
	_, putBack := store.OutdatedKey(err)
	if putBack && g.cfg.AsFound != nil {
		in = g.cfg.AsFound
		row, _, err = g.of(ctx, in, who)
	}
	if err != nil {
		return false, err
	}
	switch {
	case !row.holds(word):
		row = row.with(word)
	case !putBack, row.State == Given: // put back, from between this withdrawal and one that the log does not tell yet
		return false, nil
	}
	op, err := row.op()
	if err != nil {
		return false, err
	}
	switch err := in.Commit(ctx, op); {
	case errors.Is(err, store.ErrConflict): // somebody else changed it meanwhile: the next look sees it
		return false, nil
	case err != nil:
		return false, down(err)
	}
	g.tell(ctx, who)
	return true, nil
}

// holds reports whether a word is among those of the row.
func (r Row) holds(w Word) bool {
	for _, said := range append([]Word{r.Word}, r.Before...) {
		if said.State == w.State && said.Version == w.Version && said.At.Unix() == w.At.Unix() {
			return true
		}
	}
	return false
}

// withdrawalIn reads what Note recorded; false for every other record.
func withdrawalIn(r audit.Record) (who identity.Subject, w Word, told bool) {
	if r.Action != ActionWithdraw || r.Outcome != audit.OK {
		return who, w, false
	}
	who.Corp, who.UserID, _ = strings.Cut(r.Target, "/")
	w = Word{
		State: Withdrawn, Version: r.Detail["version"], Noted: r.At, By: r.Actor, Way: Way(r.Detail["way"]), Digest: r.Detail["digest"],
	}
	var err error
	w.At, err = time.Parse(time.RFC3339, r.Detail["at"])
	return who, w, err == nil && names(who)
}
