package app

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/web/admin"
)

// streams are the event streams of this replica, by corp.
type streams struct {
	mu   sync.Mutex
	open map[string]*dingtalk.Stream
}

// begin forgets the streams of rooms that were left.
func (s *streams) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = map[string]*dingtalk.Stream{}
}

// hold remembers a stream that runs.
func (s *streams) hold(corp string, stream *dingtalk.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[corp] = stream
}

// tell says how the streams stand, by corp.
func (s *streams) tell() []admin.StreamInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]admin.StreamInfo, 0, len(s.open))
	for _, corp := range slices.Sorted(maps.Keys(s.open)) {
		status := s.open[corp].Status()
		list = append(list, admin.StreamInfo{
			Corp: corp, Connections: status.Connections, Since: status.Since, LastEvent: status.LastEvent, Events: status.Events,
			Later: status.Later, Failures: status.Failures, Code: string(identity.CodeOf(status.LastError)),
		})
	}
	return list
}

// quotaPage is the page of DingTalk's limits and events.
func (s *Server) quotaPage(r *rooms) *admin.Quota {
	return &admin.Quota{
		Quotas:  func(ctx context.Context) []admin.QuotaInfo { return quotas(ctx, r) },
		Streams: s.streams.tell, Days: s.quotaHistory(r), Now: s.options.Now,
	}
}

func quotas(ctx context.Context, r *rooms) []admin.QuotaInfo {
	list := make([]admin.QuotaInfo, 0, len(r.vendors.dingtalk))
	for _, client := range r.vendors.dingtalk {
		q := client.api.Quota(ctx)
		info := admin.QuotaInfo{
			Corp: q.Corp, Calls: monthOf(q.Calls), Events: monthOf(q.Events), Minute: map[string]int64{}, Banned: q.Banned, Paused: q.Paused,
		}
		for class, usage := range q.Classes {
			info.Minute[string(class)] = usage.Minute
		}
		list = append(list, info)
	}
	slices.SortFunc(list, func(a, b admin.QuotaInfo) int { return strings.Compare(a.Corp, b.Corp) })
	return list
}

func monthOf(b dingtalk.Budget) admin.Month {
	return admin.Month{Limit: b.Limit, Used: b.Used, Left: b.Left, Ends: b.Ends}
}
