package app

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/jobs"
	"kdgate/store"
)

// ring is what the sealing keys open, the key in force first: the seals of the
// store, and the secrets of the gateway.
type ring struct {
	sealing [][]byte
	gateway []identity.Secret
}

func newRing(keys [][]byte) (ring, error) {
	var r ring
	for _, key := range keys {
		seal, err := deriveSecret(key, "kdgate store seal")
		if err != nil {
			return ring{}, err
		}
		gateway, err := deriveSecret(key, "kdgate gateway")
		if err != nil {
			return ring{}, err
		}
		r.sealing, r.gateway = append(r.sealing, []byte(seal.Reveal())), append(r.gateway, gateway)
	}
	return r, nil
}

func (r ring) same(as ring) bool { return slices.EqualFunc(r.sealing, as.sealing, bytes.Equal) }

// nextRing reads the keys of a configuration that is to be put in force. The key
// that seals now has to stay listed, and so has that of the audit log (R57).
func (c *Core) nextRing(cfg *config.Config, now ring) (ring, error) {
	keys, err := cfg.SealKeys()
	if err != nil {
		return ring{}, err
	}
	if _, err := AuditKey(cfg.Audit.Dir, keys); err != nil {
		return ring{}, err
	}
	next, err := newRing(keys)
	if err != nil {
		return ring{}, err
	}
	if !slices.ContainsFunc(next.sealing, func(key []byte) bool { return bytes.Equal(key, now.sealing[0]) }) {
		return ring{}, fmt.Errorf("seal: the key in force is not listed any more; keep it in seal.old_key_files")
	}
	return next, nil
}

// rekey puts other sealing keys in force in the store.
func (s *Server) rekey(next ring) error {
	if next.same(s.rooms.Load().ring) {
		return nil
	}
	if err := s.sealed.Rekey(next.sealing); err != nil {
		return err
	}
	select {
	case s.rekeyed <- struct{}{}:
	default: // one look is due already
	}
	return nil
}

// resealEvery is how often entries are looked at that an old key has sealed,
// while there are any: most end by themselves.
const resealEvery = 10 * time.Minute

// keepSealed seals anew what old keys have sealed, until nothing is left and
// they can be taken out.
func (s *Server) keepSealed(ctx context.Context) {
	ticker := time.NewTicker(resealEvery)
	defer ticker.Stop()
	looking := len(s.rooms.Load().ring.sealing) > 1
	for {
		if looking {
			looking = s.reseal(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.rekeyed:
			looking = true
		case <-ticker.C:
		}
	}
}

// reseal looks once, and reports whether another look is due.
func (s *Server) reseal(ctx context.Context) bool {
	done, err := s.sealed.Reseal(ctx, beingWorked)
	if err != nil {
		if ctx.Err() == nil {
			s.options.Logger.Warn("entries of old sealing keys could not be sealed anew; tried again", "error", err)
		}
		return true
	}
	s.metrics.OldSeals(done.Left)
	if done.Left == 0 {
		s.options.Logger.Info("every stored entry is sealed by the key in force", "anew", done.Anew)
		return false
	}
	s.options.Logger.Info("stored entries are sealed anew; the old sealing keys are still needed", "anew", done.Anew, "left", done.Left)
	return true
}

// beingWorked names work that somebody holds: another version would take it from
// them.
func beingWorked(entry store.Entry) bool {
	if !strings.HasPrefix(entry.Key, jobs.ItemPrefix) {
		return false
	}
	var item jobs.Item
	return json.Unmarshal(entry.Value, &item) == nil && item.State == jobs.Leased
}
