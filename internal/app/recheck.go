package app

import (
	"context"
	"errors"

	"kdgate/jobs/schedule"
	"kdgate/mapping"
)

// taskRecheck is the nightly look at every mapping.
const taskRecheck = "mapping-check"

// recheckPatience is after how many rows in a row that Kingdee could not be
// asked about the look is given up: it is away, not slow.
const recheckPatience = 20

// errKingdeeAway ends a look; tomorrow is another night.
var errKingdeeAway = errors.New("kingdee cannot be asked about the mappings; the look was broken off")

// recheck asks Kingdee about every row, one at a time, so that sign-ins have
// Kingdee's sessions for themselves (F5).
func (c *Core) recheck(ctx context.Context, p *schedule.Progress) error {
	table := c.Table()
	silent := 0
	for cursor := ""; ; {
		rows, next, err := table.List(ctx, mapping.Filter{Status: mapping.StatusActive}, cursor, 0)
		if err != nil {
			return err
		}
		for _, row := range rows {
			check, err := table.Recheck(ctx, row.Key())
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				p.Count("unasked", 1)
				if silent++; silent >= recheckPatience {
					return errKingdeeAway
				}
				continue
			case check.Code != "":
				p.Count("broken", 1)
			}
			silent = 0
			p.Add(1)
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}
