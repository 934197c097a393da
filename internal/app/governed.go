package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/internal/sleep"
	"kdgate/store"
)

// governedKey holds what the configuration said last about people and secrets.
const governedKey = "config/governed"

// governed is what a file decides and no act in the console does: who has which
// role, which secrets are used, and all the rest. What changes of it is on record
// (T111), also when the program stood still meanwhile.
type governed struct {
	Roles    map[string]string `json:"roles"`
	Secrets  map[string]string `json:"secrets"`  // a mark of each, from which nobody gets it back
	Sections map[string]string `json:"sections"` // a digest of each top-level key, secrets not in it

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// governedBy is what a configuration says; each secret is marked with this key.
func governedBy(cfg *config.Config, key identity.Secret) governed {
	g := governed{Roles: map[string]string{}, Secrets: map[string]string{}, Sections: map[string]string{}}
	for who, role := range consoleAdmins(cfg) {
		g.Roles[audit.Person(who)] = string(role)
	}
	for name, secret := range cfg.Secrets() {
		g.Secrets[name] = markOf(key, name, secret)
	}
	sections := map[string]hash.Hash{}
	for _, value := range cfg.InForce() {
		section := value.Name[:strings.IndexAny(value.Name+".", ".[")]
		if sections[section] == nil {
			sections[section] = sha256.New()
		}
		fmt.Fprintf(sections[section], "%q %q\n", value.Name, value.Text)
	}
	for section, digest := range sections {
		g.Sections[section] = base64.RawStdEncoding.EncodeToString(digest.Sum(nil))
	}
	return g
}

// same reports whether nothing has changed.
func (g governed) same(as governed) bool {
	return maps.Equal(g.Roles, as.Roles) && maps.Equal(g.Secrets, as.Secrets) && maps.Equal(g.Sections, as.Sections)
}

// others names the sections that are not as they were.
func (g governed) others(before governed) (names []string) {
	all := maps.Clone(g.Sections)
	maps.Copy(all, before.Sections)
	for _, section := range slices.Sorted(maps.Keys(all)) {
		if g.Sections[section] != before.Sections[section] {
			names = append(names, section)
		}
	}
	return names
}

func markOf(key identity.Secret, name string, secret identity.Secret) string {
	mark := hmac.New(sha256.New, []byte(key.Reveal()))
	fmt.Fprintf(mark, "kdgate secret in use\x00%s\x00%s", name, secret.Reveal())
	return base64.RawStdEncoding.EncodeToString(mark.Sum(nil))
}

// noteGoverned records what a configuration that is to be in force says otherwise
// than the last one did, before it is, and names the sections that differ. The first
// one is held against nothing.
func (c *Core) noteGoverned(ctx context.Context, cfg *config.Config, keys ring) (changed []string, err error) {
	for range 3 {
		known, version, err := c.lastGoverned(ctx)
		if err != nil {
			return nil, err
		}
		next := governedBy(cfg, keys.gateway[0])
		next.Unknown = known.Unknown
		if version != 0 {
			if err := c.recordGoverned(ctx, changedRoles(known, next), changedSecrets(cfg, known, keys)); err != nil {
				return nil, err
			}
			if changed = next.others(known); next.same(known) {
				return nil, nil
			}
		}
		err = c.keepGoverned(ctx, next, version)
		if !errors.Is(err, store.ErrConflict) { // another replica of the same configuration was first
			return changed, err
		}
	}
	return changed, nil
}

// governedAtStart goes on where the store could not be asked at the start. Until
// it can, nobody uses a role: sessions are kept there too.
func (s *Server) governedAtStart(ctx context.Context) {
	for s.untold && sleep.For(ctx, repairEvery) == nil {
		s.reloading.Lock()
		in := s.rooms.Load()
		_, err := s.noteGoverned(ctx, in.config, in.ring)
		s.reloading.Unlock()
		s.untold = err != nil
	}
}

func (c *Core) lastGoverned(ctx context.Context) (governed, store.Version, error) {
	entry, err := c.store.Get(ctx, governedKey)
	if errors.Is(err, store.ErrNotFound) {
		return governed{}, 0, nil
	}
	if err != nil {
		return governed{}, 0, fmt.Errorf("what the configuration said before: %w", err)
	}
	var known governed
	if err := json.Unmarshal(entry.Value, &known); err != nil {
		return governed{}, 0, fmt.Errorf("what the configuration said before: %w", err)
	}
	return known, entry.Version, nil
}

func (c *Core) keepGoverned(ctx context.Context, g governed, over store.Version) error {
	text, err := json.Marshal(g, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("what the configuration says: %w", err)
	}
	op := store.Create(governedKey, text)
	if over != 0 {
		op = store.Replace(governedKey, text, over)
	}
	return c.store.Commit(ctx, op)
}

func (c *Core) recordGoverned(ctx context.Context, lists ...[]audit.Event) error {
	for _, event := range slices.Concat(lists...) {
		event.Outcome, event.Actor = audit.OK, audit.System
		if err := c.log.Append(ctx, event); err != nil {
			return err
		}
	}
	return nil
}

func changedRoles(known, next governed) (events []audit.Event) {
	all := maps.Clone(known.Roles)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, next.Roles)
	for _, who := range slices.Sorted(maps.Keys(all)) {
		if before, after := known.Roles[who], next.Roles[who]; before != after {
			events = append(events, audit.Event{Action: audit.ActionRoleChange, Target: who, Before: before, After: after, Reason: "configuration"})
		}
	}
	return events
}

// changedSecrets says which secrets are new, others or gone, never what they are.
// One that is the same under any listed key has not changed: the key has.
func changedSecrets(cfg *config.Config, known governed, keys ring) (events []audit.Event) {
	changed := func(name, how string) {
		events = append(events, audit.Event{Action: audit.ActionSecretChange, Target: name, Reason: how})
	}
	now := maps.Collect(cfg.Secrets())
	for _, name := range slices.Sorted(maps.Keys(now)) {
		mark, there := known.Secrets[name]
		same := func(key identity.Secret) bool { return hmac.Equal([]byte(mark), []byte(markOf(key, name, now[name]))) }
		switch {
		case !there:
			changed(name, "set")
		case !slices.ContainsFunc(keys.gateway, same):
			changed(name, "changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known.Secrets)) {
		if _, there := now[name]; !there {
			changed(name, "removed")
		}
	}
	return events
}
