package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// faults are the series that tell of one fault each, as it stands now: they rise
// with it and fall with its mending, within the time of one look (R70).
type faults struct {
	check    *prometheus.GaugeVec
	probe    prometheus.Gauge
	skew     *prometheus.GaugeVec
	refused  *prometheus.CounterVec
	drift    prometheus.Gauge
	oldSeals prometheus.Gauge
}

func newFaults() faults {
	return faults{
		check: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kdgate_check_failed", Help: "1 while a question of /readyz is answered with a fault, by question.",
		}, []string{"check"}),
		probe: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kdgate_store_probe_seconds", Help: "How long the store took to answer /readyz or the look every five seconds.",
		}),
		skew: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kdgate_clock_skew_seconds", Help: "How far a vendor's clock, by its last answer, is ahead of ours.",
		}, []string{"peer", "of"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kdgate_callback_refused_total", Help: "Callbacks that were not by DingTalk: their signature, age or sender is wrong.",
		}, []string{"corp"}),
		drift: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kdgate_directory_drift", Help: "Records that were changed in Kingdee and wait for somebody's word.",
		}),
		oldSeals: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kdgate_store_old_seals", Help: "Stored entries that another sealing key than the first has sealed, by the last look; the old key is needed until it is 0.",
		}),
	}
}

func (f faults) collectors() []prometheus.Collector {
	return []prometheus.Collector{f.check, f.probe, f.skew, f.refused, f.drift, f.oldSeals}
}

// Check says whether a question of readiness is answered with a fault.
func (m *Metrics) Check(name string, failed bool) {
	value := 0.0
	if failed {
		value = 1
	}
	m.faults.check.WithLabelValues(name).Set(value)
}

// StoreProbe is how long the store took to answer a look.
func (m *Metrics) StoreProbe(took time.Duration) { m.faults.probe.Set(took.Seconds()) }

// Skew is how far a vendor's clock is ahead of ours; of names the corp or the
// data centre.
func (m *Metrics) Skew(peer, of string, ahead time.Duration) {
	m.faults.skew.WithLabelValues(peer, of).Set(ahead.Seconds())
}

// CallbackRefused gives what counts one callback that was refused. The series is
// there before the first, so that the first is a rise.
func (m *Metrics) CallbackRefused(corp string) (count func()) {
	return m.faults.refused.WithLabelValues(corp).Inc
}

// Drift is how many records wait for somebody's word.
func (m *Metrics) Drift(n int) { m.faults.drift.Set(float64(n)) }

// OldSeals shows how many stored entries still need an old sealing key.
func (m *Metrics) OldSeals(n int) { m.faults.oldSeals.Set(float64(n)) }

// Pause shows how long DingTalk is not asked, because it banned our address.
func (m *Metrics) Pause(left func() time.Duration) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kdgate_dingtalk_pause_seconds", Help: "How long DingTalk is not asked any more, because it has banned this address.",
	}, func() float64 { return left().Seconds() }))
}

// Certificate shows when the certificate of the public listener ends.
func (m *Metrics) Certificate(ends func() time.Time) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kdgate_certificate_not_after_seconds", Help: "End of the certificate that is served, in seconds since 1970.",
	}, func() float64 { return float64(ends().Unix()) }))
}
