package session

import (
	"context"
	"errors"
	"strings"

	"kdgate/store"
)

// maxLook bounds what one Find reads, so that a search that matches nobody does
// not hold a request up: it answers with what it has and where to go on.
const maxLook = 2000

// Find lists live sessions of everybody that match, in the order of corp and
// userid, at most limit of them. next goes on after the last one looked at;
// empty says that there are no more. A page may be short, or empty, and still
// have a next: the search stops after maxLook sessions.
func (m *Manager) Find(ctx context.Context, match func(Info) bool, after string, limit int) (list []Info, next string, err error) {
	if after != "" {
		after = indexPrefix + after
	}
	for looked := 0; ; {
		page, err := m.store.Scan(ctx, indexPrefix, after, min(scanPage, maxLook))
		if err != nil {
			return nil, "", down(err)
		}
		if len(page) == 0 {
			return list, "", nil
		}
		for _, entry := range page {
			if len(list) == limit || looked == maxLook {
				return list, strings.TrimPrefix(after, indexPrefix), nil
			}
			info, live, err := m.infoOf(ctx, string(entry.Value))
			if err != nil {
				return nil, "", err
			}
			if live && match(info) {
				list = append(list, info)
			}
			after = entry.Key
			looked++
		}
	}
}

// infoOf reads a session that the index names; false when it is over.
func (m *Manager) infoOf(ctx context.Context, hash string) (Info, bool, error) {
	s, err := m.load(ctx, hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && !m.alive(s) {
		return Info{}, false, nil
	}
	if err != nil {
		return Info{}, false, down(err)
	}
	return s.info(), true, nil
}

func (r record) info() Info {
	return Info{
		Subject: r.subject(), Name: r.Name, Handle: r.Handle, Door: r.Door, Started: r.Started, LastSeen: r.Seen,
		ExpiresAt: r.Ends, Source: r.Source, UserAgent: r.UserAgent,
	}
}
