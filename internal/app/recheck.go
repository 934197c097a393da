package app

import (
	"context"
	"errors"

	"kdgate/audit"
	"kdgate/identity"
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
				ended, err := c.shut(ctx, row.Key().Subject(), check.Code)
				if err != nil {
					return err
				}
				if ended > 0 {
					p.Count("sessions_ended", int64(ended))
				}
			}
			silent = 0
			p.Add(1)
		}
		if cursor = next; cursor == "" {
			return nil
		}
	}
}

// shut ends the sessions of somebody whom Kingdee has forbidden. Their next click
// is refused anyway; without this what is open would stay so until it is idle.
// What is not on record is not done.
func (c *Core) shut(ctx context.Context, who identity.Subject, why identity.Code) (int, error) {
	if c.sessions == nil || why != identity.CodeUserForbidden && why != identity.CodeStaffForbidden {
		return 0, nil
	}
	live, err := c.sessions.List(ctx, who)
	if err != nil || len(live) == 0 {
		return 0, err
	}
	event := audit.Event{
		Action: audit.ActionSessionEnd, Outcome: audit.OK, Actor: audit.System, Reason: string(why),
		Target: audit.Person(who), Detail: map[string]string{"which": "all"},
	}
	if err := c.log.Append(ctx, event); err != nil {
		return 0, identity.Fail(identity.Unavailable, identity.CodeAuditDown, "record the end of sessions: %w", err)
	}
	return c.sessions.EndAll(ctx, who)
}
