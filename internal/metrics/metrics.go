// Package metrics counts what happens, in Prometheus' terms. It is the only
// importer of the Prometheus client; the rooms that are counted name a small
// observer each. No label ever holds a person, a code, a token or an address.
package metrics

import (
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kdgate/identity"
)

// Metrics holds every series of one gateway, in a registry of its own.
type Metrics struct {
	registry *prometheus.Registry
	signIns  *prometheus.CounterVec
	signIn   *prometheus.HistogramVec
	launches *prometheus.CounterVec
	calls    *prometheus.CounterVec
	peers    *prometheus.HistogramVec
	store    *prometheus.HistogramVec
	proxy    prometheus.Histogram
	records  prometheus.Counter
	tampered prometheus.Counter
	faults   faults
	sessions prometheus.Gauge
	shed     prometheus.Counter
	lost     prometheus.Gauge
	diskUsed prometheus.Gauge
	canary   *prometheus.GaugeVec
	visit    *prometheus.GaugeVec
	work     work

	mu      sync.Mutex
	visited map[string]bool // data centres whose canary gauge has a value
}

// New registers the series.
func New() *Metrics {
	seconds := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 8}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kdgate_signin_total", Help: "Finished sign-ins by door, result and whose fault a failure is.",
		}, []string{"door", "result", "fault"}),
		signIn: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kdgate_signin_seconds", Help: "Time from the code's arrival to the answer.", Buckets: seconds,
		}, []string{"door"}),
		launches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kdgate_launch_total", Help: "Launches by data centre and result (ok or a short code).",
		}, []string{"target", "result"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kdgate_peer_calls_total", Help: "Calls to the vendors.",
		}, []string{"peer", "operation", "result"}),
		peers: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kdgate_peer_seconds", Help: "Time of calls to the vendors.", Buckets: seconds,
		}, []string{"peer", "operation"}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kdgate_store_seconds", Help: "Time of store operations.", Buckets: seconds,
		}, []string{"driver", "op"}),
		proxy: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kdgate_proxy_seconds", Help: "Time of requests passed on to a proxied Kingdee.", Buckets: seconds,
		}),
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kdgate_audit_records_total", Help: "Audit records written.",
		}),
		tampered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kdgate_store_tampered_total", Help: "Stored values whose seal did not verify; must stay 0.",
		}),
	}
	m.sessions = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kdgate_sessions", Help: "Sessions of all replicas that nobody has ended, counted now and then.",
	})
	m.shed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "kdgate_connections_shed_total", Help: "Connections closed to make room for others, or for want of room.",
	})
	m.lost = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kdgate_store_lost", Help: "1 while the store is not the one that this host remembers: flushed, evicted or exchanged.",
	})
	m.diskUsed = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kdgate_data_disk_used_ratio", Help: "Used share of the fullest disk that data or audit log lie on, 0 to 1.",
	})
	m.canary = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kdgate_canary_success", Help: "1 when the appointed visitor's last login at Kingdee went well, 0 when not, NaN before the first or without a visitor, by data centre.",
	}, []string{"data_centre"})
	m.visit = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kdgate_canary_seconds", Help: "Time of the appointed visitor's last login, by data centre.",
	}, []string{"data_centre"})
	m.work, m.faults, m.visited = newWork(), newFaults(), map[string]bool{}
	m.registry.MustRegister(m.faults.collectors()...)
	m.registry.MustRegister(m.work.collectors()...)
	m.registry.MustRegister(m.canary, m.visit, m.lost, m.diskUsed, m.shed, m.sessions, m.signIns, m.signIn, m.launches, m.calls, m.peers, m.store, m.proxy, m.records, m.tampered,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the series in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// SignIn counts one finished sign-in (gateway.Observer).
func (m *Metrics) SignIn(door identity.Door, result, fault string, took time.Duration) {
	m.signIns.WithLabelValues(string(door), result, fault).Inc()
	m.signIn.WithLabelValues(string(door)).Observe(took.Seconds())
}

// Await makes what should happen known before it does, at zero: a series that
// begins with its first event shows no rise, and an alarm on it sees nothing.
// Of the canary nothing is known before its first visit: NaN, because zero would
// say that it failed.
func (m *Metrics) Await(targets ...string) {
	for _, door := range []identity.Door{identity.DoorInClient, identity.DoorBrowser} {
		m.signIns.WithLabelValues(string(door), "ok", "none")
		m.signIn.WithLabelValues(string(door))
	}
	for _, target := range targets {
		m.launches.WithLabelValues(target, "ok")
		m.awaitCanary(target)
	}
}

func (m *Metrics) awaitCanary(centre string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.visited[centre] { // a reload awaits anew and must not forget
		m.canary.WithLabelValues(centre).Set(math.NaN())
	}
}

// Launch counts one launch (gateway.Observer).
func (m *Metrics) Launch(target, result string) {
	m.launches.WithLabelValues(target, result).Inc()
}

// Proxied times one request that was passed on to Kingdee (proxy.Observer).
func (m *Metrics) Proxied(took time.Duration) { m.proxy.Observe(took.Seconds()) }

// Peer counts the calls to one vendor.
func (m *Metrics) Peer(name string) Peer { return Peer{m, name} }

// AuditRecords counts records that were written.
func (m *Metrics) AuditRecords(n int) { m.records.Add(float64(n)) }

// StoreTampered counts one broken seal.
func (m *Metrics) StoreTampered() { m.tampered.Inc() }

// ConnectionShed counts one connection that had to go.
func (m *Metrics) ConnectionShed() { m.shed.Inc() }

// Plaintext shows how many connections are allowed without TLS (T121).
func (m *Metrics) Plaintext(peers func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kdgate_plaintext_peers", Help: "Peers off this machine that the configuration lets us reach without TLS; /readyz names them.",
	}, func() float64 { return float64(peers()) }))
}

// Connections shows how many connections there are; open is asked at each scrape.
func (m *Metrics) Connections(open func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kdgate_connections", Help: "Connections of the public listener.",
	}, func() float64 { return float64(open()) }))
}

// Canary tells how the appointed visitor's login went.
func (m *Metrics) Canary(centre string, well bool, took time.Duration) {
	success := 0.0
	if well {
		success = 1
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.visited[centre] = true
	m.canary.WithLabelValues(centre).Set(success)
	m.visit.WithLabelValues(centre).Set(took.Seconds())
}

// Sessions sets how many sessions there are.
func (m *Metrics) Sessions(n int) { m.sessions.Set(float64(n)) }

// StoreLost says whether the store is another one than it was (R15).
func (m *Metrics) StoreLost(lost bool) {
	if lost {
		m.lost.Set(1)
		return
	}
	m.lost.Set(0)
}

// DiskUsed sets how full the data disk is, 0 to 1 (R69).
func (m *Metrics) DiskUsed(share float64) { m.diskUsed.Set(share) }

// Store times one operation of a store driver.
func (m *Metrics) Store(driver, op string, took time.Duration) {
	m.store.WithLabelValues(driver, op).Observe(took.Seconds())
}

// Peer observes the calls to one vendor.
type Peer struct {
	metrics *Metrics
	name    string
}

// PeerCall counts one call (dingtalk.Observer, kingdee.Config.Observer).
func (p Peer) PeerCall(operation, result string, took time.Duration) {
	p.metrics.calls.WithLabelValues(p.name, operation, result).Inc()
	p.metrics.peers.WithLabelValues(p.name, operation).Observe(took.Seconds())
}
