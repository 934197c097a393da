package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"kdgate/audit"
	"kdgate/internal/config"
	"kdgate/internal/moving"
	"kdgate/mapping"
	"kdgate/store"
)

// Migrate copies what lasts from the store that from names into the one of this
// configuration, and takes the first out of use. Both are opened here, so no
// gateway may run on either. The seal keys of this configuration have to know
// what from's sealed.
func (c *Core) Migrate(ctx context.Context, by mapping.Actor, from config.Store, p moving.Progress) (done moving.Migrated, err error) {
	if from.Driver == "sqlite" {
		if _, err := os.Stat(from.Path); errors.Is(err, fs.ErrNotExist) {
			return done, fmt.Errorf("there is no store at %s; name the old one with --from-path or --source-config", from.Path)
		}
	}
	driver, err := openDriver(ctx, from, c.options.Now)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, driver.Close()) }()
	source, err := store.Seal(driver, c.sealing)
	if err != nil {
		return done, err
	}
	for _, s := range []*store.Sealed{source, c.sealed} {
		if err := noReplica(ctx, s); err != nil {
			return done, err
		}
	}
	to := c.options.Config.Store
	event := audit.Event{Action: audit.ActionMigrate, Outcome: audit.OK, Reason: "begun", Detail: map[string]string{
		"from": from.Driver, "to": to.Driver, "tenant": to.Tenant,
	}}
	if err := c.note(ctx, by, event); err != nil {
		return done, err
	}
	done, err = moving.Migration{
		From: source, To: c.sealed, LeftOut: leftOut(), Name: to.Driver, Now: c.options.Now, Progress: p,
	}.Run(ctx)
	event.Reason = "done"
	if err != nil {
		event.Outcome, event.Reason = audit.Failed, "not complete: to be run again"
	} else {
		event.Detail["entries"], event.Detail["digest"] = strconv.Itoa(done.Entries), done.Digest
		err = storeMemory{c.options.Config.Audit.Dir}.Keep(done.StoreID)
	}
	return done, errors.Join(err, c.note(context.WithoutCancel(ctx), by, event))
}
