package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/store"
	"kdgate/web/admin"
)

const (
	dayPrefix = "quotaday/"          // quotaday/CORP/KIND/DAY
	dayLife   = 400 * 24 * time.Hour // a year is compared with the one before
	dayEvery  = 10 * time.Minute     // how often the day's record is brought up to date
	dayTries  = 5                    // over other replicas
	mostDays  = 400
)

// quotaDays remembers what of a month was used up by the end of each day: one
// small record for each organisation and kind. Every replica writes it, and
// none ever lowers it, so it does not matter which was last.
type quotaDays struct {
	store store.Store
	now   func() time.Time
}

// quotaDay is the stored record.
type quotaDay struct {
	Used  int64     `json:"used"`
	Limit int64     `json:"limit"`
	At    time.Time `json:"at"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// beijing is the zone of DingTalk's months.
func beijing() *time.Location { return time.FixedZone("UTC+8", 8*60*60) }

// note brings a day's record up to what is used now. at is a time before m was
// asked for: a month that has turned in between is nobody's day.
func (q *quotaDays) note(ctx context.Context, corp, kind string, m admin.Month, at time.Time) error {
	if began := m.Ends.In(beijing()).AddDate(0, -1, 0); at.Before(began) || !at.Before(m.Ends) {
		return nil
	}
	key := dayPrefix + corp + "/" + kind + "/" + at.In(beijing()).Format(time.DateOnly)
	var err error
	for range dayTries {
		var entry store.Entry
		var day quotaDay
		entry, err = q.store.Get(ctx, key)
		switch {
		case errors.Is(err, store.ErrNotFound):
		case err != nil:
			return fmt.Errorf("quota of the day: %w", err)
		default:
			if err := json.Unmarshal(entry.Value, &day); err != nil {
				return fmt.Errorf("quota of the day: %s: %w", key, err)
			}
			if day.Used >= m.Used && day.Limit == m.Limit {
				return nil
			}
		}
		day.Used, day.Limit, day.At = max(day.Used, m.Used), m.Limit, at.UTC()
		value, also := json.Marshal(day)
		if also != nil {
			return fmt.Errorf("quota of the day: %w", also)
		}
		if err = q.store.Commit(ctx, store.Over(key, value, entry.Version).For(dayLife)); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("quota of the day: %w", err)
}

// list gives the days of an organisation and kind, the oldest first.
func (q *quotaDays) list(ctx context.Context, corp, kind string) ([]admin.QuotaDay, error) {
	prefix := dayPrefix + corp + "/" + kind + "/"
	entries, err := q.store.Scan(ctx, prefix, "", mostDays+1)
	if err != nil {
		return nil, fmt.Errorf("quota by day: %w", err)
	}
	days := make([]admin.QuotaDay, 0, len(entries))
	for _, entry := range entries {
		var day quotaDay
		if err := json.Unmarshal(entry.Value, &day); err != nil {
			return nil, fmt.Errorf("quota by day: %s: %w", entry.Key, err)
		}
		days = append(days, admin.QuotaDay{Corp: corp, Kind: kind, Day: strings.TrimPrefix(entry.Key, prefix), Used: day.Used, Limit: day.Limit})
	}
	return days, nil
}

// quotaKinds are the budgets of a month, by the name they are kept under.
func quotaKinds(info admin.QuotaInfo) map[string]admin.Month {
	return map[string]admin.Month{"calls": info.Calls, "events": info.Events}
}

// keepQuotaDays writes the day's records until ctx ends.
func (s *Server) keepQuotaDays(ctx context.Context) {
	days := quotaDays{s.store, s.options.Now}
	ticker := time.NewTicker(dayEvery)
	defer ticker.Stop()
	for {
		if err := s.noteQuotas(ctx, &days); err != nil && ctx.Err() == nil {
			s.options.Logger.WarnContext(ctx, "what of the month is used is not remembered", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Server) noteQuotas(ctx context.Context, days *quotaDays) error {
	at := days.now()
	var errs []error
	for _, info := range quotas(ctx, s.rooms.Load()) {
		for kind, month := range quotaKinds(info) {
			errs = append(errs, days.note(ctx, info.Corp, kind, month, at))
		}
	}
	return errors.Join(errs...)
}

// quotaHistory gives the days of every organisation that is configured.
func (s *Server) quotaHistory(r *rooms) func(context.Context) ([]admin.QuotaDay, error) {
	return func(ctx context.Context) ([]admin.QuotaDay, error) {
		days := quotaDays{s.store, s.options.Now}
		var all []admin.QuotaDay
		for _, corp := range consoleCorps(r.config) {
			for _, kind := range []string{"calls", "events"} {
				list, err := days.list(ctx, corp, kind)
				if err != nil {
					return nil, err
				}
				all = append(all, list...)
			}
		}
		return all, nil
	}
}
