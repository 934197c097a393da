package app

import (
	"context"
	"fmt"
	"maps"
	"time"

	"kdgate/internal/config"
	"kdgate/jobs/approval"
	"kdgate/jobs/approval/billbook"
	"kdgate/jobs/approval/rulebook"
)

// rulesTime bounds the first look for rules of the console: a gateway starts
// without the store (R17), and without them then.
const rulesTime = time.Second

// openRules opens what people decided about rules, and what became of approvals.
func (c *Core) openRules(ctx context.Context) {
	c.retune = make(chan struct{}, 1)
	c.bills = billbook.New(billbook.Config{Store: c.store, Queue: c.queue, Now: c.options.Now, Logger: c.options.Logger})
	c.rulebook = rulebook.New(rulebook.Config{
		Store: c.store, Recorder: c.log, Now: c.options.Now, Logger: c.options.Logger,
		AsFound: c.sealed.AsFound(),
		Changed: func(*rulebook.Snapshot) {
			if err := c.enforce(); err != nil {
				c.options.Logger.Error("rules of approvals", "error", err)
			}
		},
	})
	ctx, cancel := context.WithTimeout(ctx, rulesTime)
	defer cancel()
	if err := c.rulebook.Refresh(ctx); err != nil { // Run goes on where this could not
		c.options.Logger.Warn("rules of the console are not known yet", "error", err)
	}
}

// fixedRules are the rules of the configuration file.
func fixedRules(cfg *config.Config) ([]rulebook.Fixed, error) {
	var list []rulebook.Fixed
	for _, a := range cfg.Approvals {
		rule, err := approvalRule(a)
		if err != nil {
			return nil, err
		}
		list = append(list, rulebook.Fixed{Corp: a.Corp, Rule: rule, Mode: rulebook.Mode(a.Mode)})
	}
	return list, nil
}

// scene is the configuration in force, as rules stand in it.
func (r *rooms) scene() (rulebook.Scene, error) {
	fixed, err := fixedRules(r.config)
	scene := rulebook.Scene{Fixed: fixed, Bookers: map[string]rulebook.Booker{}, Console: r.config.ApprovalConsole}
	for corp, booker := range r.bookers {
		scene.Bookers[corp] = booker
	}
	if len(r.config.Corps) > 0 && len(r.config.DataCentres) > 0 {
		scene.Defaults = rulebook.Defaults{Corp: r.config.Corps[0].ID, DataCentre: r.config.DataCentres[0].ID}
	}
	return scene, err
}

// enforce puts the rules of file and console in force as they are decided now.
func (c *Core) enforce() error {
	r := c.rooms.Load()
	if r == nil {
		return nil // the first rooms are not furnished yet
	}
	before := r.acting()
	if err := c.force(r); err != nil {
		return err
	}
	if !maps.Equal(before, r.acting()) {
		select {
		case c.retune <- struct{}{}:
		default: // somebody is told already
		}
	}
	return nil
}

// force gives the bookers of some rooms their rules. It reads what is decided
// under its lock, so that the last call has the last word.
func (c *Core) force(r *rooms) error {
	c.forcing.Lock()
	defer c.forcing.Unlock()
	scene, err := r.scene()
	if err != nil {
		return err
	}
	rules, standings := scene.Force(c.rulebook.Snapshot())
	for corp, booker := range r.bookers {
		if err := booker.Use(rules[corp]); err != nil {
			return fmt.Errorf("organisation %s: %w", corp, err)
		}
	}
	for _, s := range standings {
		if s.Fault != nil {
			c.options.Logger.Warn("a rule of the console is not in force", "corp", s.Corp, "rule", s.Name, "error", s.Fault)
		}
	}
	return nil
}

// acting are the organisations of which any approval becomes a bill.
func (r *rooms) acting() map[string]bool {
	list := map[string]bool{}
	for corp, booker := range r.bookers {
		list[corp] = booker.Acts()
	}
	return list
}

// ruleDesk is what people do with rules.
func (c *Core) ruleDesk() *rulebook.Desk {
	return &rulebook.Desk{Book: c.rulebook, Scene: func() rulebook.Scene {
		scene, err := c.rooms.Load().scene()
		if err != nil { // the configuration was checked before it came in force
			c.options.Logger.Error("rules of approvals", "error", err)
		}
		return scene
	}}
}

var _ approval.Versions = (*rulebook.Book)(nil)
