package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// work are the series of background work.
type work struct {
	jobs     *prometheus.GaugeVec
	attempts *prometheus.CounterVec
	quota    *prometheus.GaugeVec
	lag      prometheus.Gauge
}

func newWork() work {
	return work{
		jobs: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kdgate_jobs", Help: "Items of the work list by kind and state.",
		}, []string{"kind", "state"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kdgate_job_attempts_total", Help: "Finished attempts at items by kind and result.",
		}, []string{"kind", "result"}),
		quota: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kdgate_quota_remaining", Help: "What is left of DingTalk's monthly limits; negative: no limit.",
		}, []string{"corp", "kind"}),
		lag: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kdgate_sync_lag_seconds", Help: "Time since both sides were last compared to the end.",
		}),
	}
}

func (w work) collectors() []prometheus.Collector {
	return []prometheus.Collector{w.jobs, w.attempts, w.quota, w.lag}
}

// Jobs implements jobs.Observer.
func (m *Metrics) Jobs(kind, state string, n int) {
	m.work.jobs.WithLabelValues(kind, state).Set(float64(n))
}

// JobAttempt implements jobs.Observer.
func (m *Metrics) JobAttempt(kind, result string, _ time.Duration) {
	m.work.attempts.WithLabelValues(kind, result).Inc()
}

// QuotaLeft sets what is left of one monthly limit.
func (m *Metrics) QuotaLeft(corp, kind string, left int64) {
	m.work.quota.WithLabelValues(corp, kind).Set(float64(left))
}

// SyncLag sets the time since the last whole comparison.
func (m *Metrics) SyncLag(lag time.Duration) { m.work.lag.Set(lag.Seconds()) }
