package app

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"kdgate/audit"
	"kdgate/internal/config"
)

// fixed are the sections that listeners, files and sessions were opened with.
var fixed = [...]string{"listen", "ops", "console", "store", "audit", "outbound", "sessions"}

// Reload reads a configuration and puts it in force without dropping a
// connection. One that cannot be read, or that changes what cannot change while
// serving, is refused and the old one stays (R55). Either is recorded.
func (s *Server) Reload(ctx context.Context, load func() (*config.Config, error)) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	next, err := s.judge(load)
	if err == nil {
		_, err = s.noteGoverned(ctx, next.rooms.config, next.rooms.ring)
	}
	if err != nil {
		// The reasons may quote the file, and the file may hold anything; they go to the log.
		return errors.Join(fmt.Errorf("reload: %w", err), s.record(ctx, audit.Event{
			Action: audit.ActionConfigLoad, Outcome: audit.Refused, Reason: "the new configuration is not in force",
		}))
	}
	if err := s.record(ctx, audit.Event{
		Action: audit.ActionConfigLoad, Outcome: audit.OK, Detail: map[string]string{"changed": strings.Join(next.changed, ",")},
	}); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if err := s.rekey(next.rooms.ring); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	old := s.rooms.Swap(next.rooms)
	if err := s.enforce(); err != nil { // what was decided while these rooms were furnished
		s.options.Logger.Error("rules of approvals", "error", err)
	}
	s.enter(next.fronts)
	close(old.left)
	old.vendors.hangUp(next.rooms.vendors)
	return nil
}

// successor is a configuration that could be put in force.
type successor struct {
	rooms   *rooms
	fronts  fronts
	changed []string // sections
}

// judge builds everything that a new configuration needs, beside what runs.
func (s *Server) judge(load func() (*config.Config, error)) (*successor, error) {
	cfg, err := load()
	if err != nil {
		return nil, err
	}
	old := s.rooms.Load()
	next := &successor{changed: changedSections(old.config, cfg)}
	var refused []string
	for _, section := range fixed {
		if slices.Contains(next.changed, section) {
			refused = append(refused, section)
		}
	}
	if old, next := old.config.Directory, cfg.Directory; old.On() != next.On() || old.On() && old.Every != next.Every {
		refused = append(refused, "directory.mode from or to off, or directory.every")
	}
	if !slices.Equal(noticeTimes(old.config), noticeTimes(cfg)) {
		refused = append(refused, "which notices there are, or when they are looked at")
	}
	if len(refused) > 0 {
		return nil, fmt.Errorf("%s changed; that needs a restart", strings.Join(refused, ", "))
	}
	ring, err := s.nextRing(cfg, old.ring)
	if err != nil {
		return nil, err
	}
	if !ring.same(old.ring) && !slices.Contains(next.changed, "seal") {
		next.changed = append(next.changed, "seal") // the same file, another key in it
	}
	if next.rooms, err = s.furnish(cfg, old, ring); err != nil {
		return nil, err
	}
	if next.fronts, err = s.newGateway(next.rooms); err != nil {
		return nil, err
	}
	if s.cert != nil {
		err = s.cert.load()
	}
	return next, err
}

// changedSections names the top-level keys that differ.
func changedSections(old, next *config.Config) []string {
	var names []string
	a, b := reflect.ValueOf(*old), reflect.ValueOf(*next)
	for i := range a.NumField() {
		name := a.Type().Field(i).Tag.Get("mapstructure")
		if name != "-" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			names = append(names, name)
		}
	}
	return names
}
