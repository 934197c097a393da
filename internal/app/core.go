package app

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/internal/checkup"
	"kdgate/internal/config"
	"kdgate/internal/metrics"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/billbook"
	"kdgate/jobs/approval/rulebook"
	"kdgate/jobs/directory"
	"kdgate/jobs/schedule"
	"kdgate/mapping"
	"kdgate/mapping/consent"
	"kdgate/store"
)

// Options is what a program tells the composition root.
type Options struct {
	Config  *config.Config
	Replica string // this machine's name in the audit log
	Version string
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
	// Egress bounds the calls to DingTalk from this machine's address. Zero
	// values are the vendor's own figures. How many is no setting of the
	// configuration: who raises it has the address banned; against a simulator
	// a measurement may.
	Egress dingtalk.EgressConfig

	// NoticeGather and NoticeAsk hasten the outbox, as a trial does that is
	// looked at; zero: its own times.
	NoticeGather, NoticeAsk time.Duration
}

// Core is state, audit log, vendors and mapping table: what the server and a
// command that finds no server running both need.
type Core struct {
	options  Options
	metrics  *metrics.Metrics
	store    store.Store
	sealed   *store.Sealed // the same store, also where it is not the one it was
	bound    *store.Bound
	sealing  store.SealConfig // of every store of this installation
	serving  bool             // behind listeners; else a command opened it
	driver   driver
	log      *audit.Log
	lane     *lane
	queue    *jobs.Queue
	rulebook *rulebook.Book  // what people decided about rules of approvals
	bills    *billbook.Index // what became of approvals
	forcing  sync.Mutex      // one change of the rules in force at a time
	retune   chan struct{}   // other organisations' events are wanted now
	checkups *checkup.Book   // of check-ups
	consents *consent.Register
	carriers feeds            // what takes audit records away; a command has none
	sessions *session.Manager // of people; a command has none
	schedule *schedule.Schedule
	tallies  *tallies              // of DingTalk's months
	index    *mapping.Index        // of the mapping table, for searches
	egress   *dingtalk.Egress      // outlives a reload: a ban does too
	rooms    atomic.Pointer[rooms] // vendors and table, as configured now
	rowsBack atomic.Bool           // rows were met that are older than they were
	closers  []func() error        // in the order of opening
}

// OpenCore opens everything below the listeners. Close gives it back.
func OpenCore(ctx context.Context, options Options) (*Core, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	c := &Core{options: options, metrics: metrics.New(), egress: newEgress(options)}
	if err := c.open(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Core) open(ctx context.Context) error {
	keys, err := c.options.Config.SealKeys()
	if err != nil {
		return err
	}
	ring, err := newRing(keys)
	if err != nil {
		return err
	}
	if err := c.openStore(ctx, ring.sealing); err != nil {
		return err
	}
	c.lane = newLane(c.store, c.options.Now)
	c.tallies = newTallies(c.store, c.options.Now)
	c.closers = append(c.closers, func() error {
		if err := c.tallies.close(); err != nil { // a store that is away must not spoil a good end
			c.options.Logger.Warn("calls of this month are not counted", "error", err)
		}
		return nil
	})
	c.index = mapping.NewIndex(c.store, c.options.Logger)
	if err := c.openAudit(ctx, keys); err != nil {
		return err
	}
	c.openBook()
	if err := c.openConsents(); err != nil {
		return err
	}
	if err := c.openQueue(); err != nil {
		return err
	}
	c.openRules(ctx)
	furnished, err := c.furnish(c.options.Config, &rooms{}, ring)
	if err != nil {
		return err
	}
	c.rooms.Store(furnished)
	return c.openSchedule()
}

func (c *Core) openStore(ctx context.Context, sealing [][]byte) error {
	driver, err := openDriver(ctx, c.options.Config.Store, c.options.Now)
	if err != nil {
		return err
	}
	c.driver = driver
	c.closers = append(c.closers, driver.Close)
	c.sealing = store.SealConfig{Keys: sealing, Now: c.options.Now, OnTamper: c.tampered, Edition: edition}
	sealed, err := store.Seal(driver, c.sealing)
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	c.sealed = sealed
	c.bound = store.Bind(sealed, store.BoundConfig{
		Memory: storeMemory{c.options.Config.Audit.Dir}, Now: c.options.Now, OnLost: c.storeLost,
	})
	accepting := store.Accepting{Store: c.bound, Renew: sealed.Renew, Prefixes: rightAtAnyAge(), Harmless: consent.Harmless}
	c.store = timedStore{Store: accepting, driver: c.options.Config.Store.Driver, metrics: c.metrics, now: c.options.Now}
	return nil
}

func (c *Core) tampered(key string, err error) {
	if errors.Is(err, store.ErrOutdated) && strings.HasPrefix(key, mapping.RowPrefix) {
		c.rowsBack.Store(true)
	}
	c.metrics.StoreTampered()
	c.options.Logger.Error("a stored value is not what was written; look who else writes to the store", "key", key, "error", err)
}

func (c *Core) openAudit(ctx context.Context, keys [][]byte) error {
	settings := c.options.Config.Audit
	key, err := AuditKey(settings.Dir, keys)
	if err != nil {
		return err
	}
	anchors, err := c.auditAnchors()
	if err != nil {
		return err
	}
	c.log, err = audit.Open(ctx, audit.Config{
		Dir: settings.Dir, Replica: c.options.Replica, Key: key,
		AnchorFile: settings.Anchor.File, Anchors: anchors, Written: c.metrics.AuditRecords, Now: c.options.Now, Logger: c.options.Logger,
	})
	if err != nil {
		return err
	}
	c.closers = append(c.closers, c.log.Close)
	return keepAuditKey(settings.Dir, key)
}

// rooms are what a change of configuration replaces while the gateway runs.
type rooms struct {
	config  *config.Config
	vendors vendors
	table   *mapping.Table
	keeper  *directory.Keeper           // nil: the directory is off
	bookers map[string]*approval.Booker // of organisations whose approvals become bills
	notices notices                     // ways to people
	ring    ring                        // what the sealing keys open
	left    chan struct{}               // closed when other rooms are in force
}

// furnish builds the rooms for a configuration, touching nothing that runs.
// What the configuration leaves as it was is taken over from old.
func (c *Core) furnish(cfg *config.Config, old *rooms, ring ring) (*rooms, error) {
	v, err := c.newVendors(cfg, old.vendors)
	if err != nil {
		return nil, err
	}
	table, err := mapping.New(mapping.Config{
		Store: c.store, Recorder: c.log,
		Directories: v.directories(), Profiles: v.profilers(),
		StaffNumberFrom: cfg.Mapping.StaffNumberFrom, Privileged: cfg.Privileged(),
		// The table takes zero for its default; to us it means: ask every time.
		VerifyMaxAge: max(cfg.Mapping.VerifyMaxAge, 1),
		AllowCached:  cfg.Mapping.AllowCached, Now: c.options.Now, Restored: c.bound.Restored,
		Witness: witness{c},
	})
	if err != nil {
		return nil, err
	}
	keeper, err := c.newKeeper(cfg, v, table)
	if err != nil {
		return nil, err
	}
	bookers, err := c.newBookers(cfg, v, table)
	if err != nil {
		return nil, err
	}
	told, err := c.newNotices(cfg, v, old.notices)
	if err != nil {
		return nil, err
	}
	r := &rooms{config: cfg, vendors: v, table: table, keeper: keeper, bookers: bookers, notices: told, ring: ring, left: make(chan struct{})}
	return r, c.force(r)
}

// Table is the mapping table in force now.
func (c *Core) Table() *mapping.Table { return c.rooms.Load().table }

// Close closes what was opened, last first.
func (c *Core) Close() error {
	var errs []error
	for i := len(c.closers) - 1; i >= 0; i-- {
		errs = append(errs, c.closers[i]())
	}
	c.closers = nil
	if furnished := c.rooms.Load(); furnished != nil {
		furnished.vendors.hangUp(vendors{})
	}
	return errors.Join(errs...)
}

// DataDir is the folder where the program keeps files of its own.
func DataDir(cfg *config.Config) string {
	if cfg.Store.Driver == "sqlite" {
		return filepath.Dir(cfg.Store.Path)
	}
	return cfg.Audit.Dir
}

// deriveSecret makes a key for one purpose (RFC 5869), so that a key that leaks
// in one room opens no other.
func deriveSecret(key []byte, purpose string) (identity.Secret, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, purpose, sha256.Size)
	if err != nil {
		return identity.Secret{}, fmt.Errorf("derive key: %w", err)
	}
	return identity.NewSecret(string(derived)), nil
}
