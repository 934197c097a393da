package app

import (
	"context"
	"errors"
	"fmt"
)

// diskWarning is the used share from which readiness speaks of the disk (R69).
// At 1 the store and the audit log refuse, and are ready again with the space.
const diskWarning = 0.95

// askDisk tells of a disk that is nearly full, while there is time to act.
func (c *Core) askDisk(context.Context) error {
	fullest, at := 0.0, ""
	var errs []error
	for _, dir := range []string{DataDir(c.options.Config), c.options.Config.Audit.Dir} {
		used, err := diskUsed(dir)
		errs = append(errs, err)
		if used > fullest {
			fullest, at = used, dir
		}
	}
	c.metrics.DiskUsed(fullest)
	if fullest >= diskWarning {
		errs = append(errs, fmt.Errorf("the disk of %s is %.0f %% full: at 100 %% nobody is let in, because nothing can be recorded", at, fullest*100))
	}
	return errors.Join(errs...)
}
