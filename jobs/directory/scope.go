package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/store"
)

const (
	// scopeAge is how long the range of the application is believed: asking
	// costs monthly quota (reference 5.6), and a comparison comes every few
	// minutes. An old answer misleads nobody into a leaver: whoever is not seen
	// is asked about one by one.
	scopeAge = 24 * time.Hour
	// scopeLife is how long an answer serves while none can be had, for example
	// because the month's quota is used up.
	scopeLife = 35 * 24 * time.Hour
)

// asked is the range of the application and when it was told.
type asked struct {
	At     time.Time       `json:"at"`
	Scopes dingtalk.Scopes `json:"scopes"`
}

func (k *Keeper) scopeKey() string { return scopePrefix + k.cfg.Corp }

// scopes is the range of the application, asked for once a day, and by every run
// that a person orders.
func (w *walk) scopes(ctx context.Context) (dingtalk.Scopes, error) {
	var last asked
	entry, err := w.cfg.Store.Get(ctx, w.scopeKey())
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return dingtalk.Scopes{}, wrap(err)
	default:
		if last, err = decode[asked](entry); err != nil {
			return dingtalk.Scopes{}, err
		}
	}
	now := w.cfg.Now()
	if w.run.By == audit.System && now.Sub(last.At) < scopeAge {
		return last.Scopes, nil
	}
	scopes, err := w.cfg.Source.Scopes(ctx)
	if err != nil {
		if last.At.IsZero() || ctx.Err() != nil {
			return dingtalk.Scopes{}, fmt.Errorf("directory: the range of the application: %w", err)
		}
		w.run.note("", "应用的通讯录权限范围未能重新读取,沿用 "+last.At.In(china).Format(time.DateTime)+" 的结果")
		return last.Scopes, nil
	}
	op, err := put(w.scopeKey(), asked{now, scopes}, scopeLife)
	if err != nil {
		return scopes, err
	}
	return scopes, wrap(w.cfg.Store.Commit(ctx, op))
}

// forgetScopes has the next run ask again, after a department of the range could
// not be read.
func (w *walk) forgetScopes(ctx context.Context) error {
	return wrap(w.cfg.Store.Commit(ctx, store.Delete(w.scopeKey())))
}
