package app

import (
	"kdgate/internal/config"
	"kdgate/internal/turnstile"
)

// keptFiles are the descriptors that connections leave to the store, the audit
// log, the vendors and the operations listener.
const keptFiles = 64

// connectionsFor bounds the connections by what the process may open; files is
// zero where nobody says. A proxied request takes a second descriptor towards
// Kingdee (R61).
func connectionsFor(wanted, files int) int {
	if files <= 0 {
		return wanted
	}
	return max(8, min(wanted, (files-keptFiles)/2))
}

// count puts the turnstile in front of the public listener.
func (s *Server) count(cfg *config.Config) error {
	proxies, err := prefixes(cfg.Listen.TrustedProxies)
	if err != nil {
		return err
	}
	most := connectionsFor(cfg.Listen.Connections, openFiles())
	if most < cfg.Listen.Connections {
		s.options.Logger.Warn("fewer connections than configured: the process may open few files (ulimit -n, LimitNOFILE)",
			"configured", cfg.Listen.Connections, "connections", most)
	}
	gate := turnstile.New(turnstile.Config{
		Total: most, PerAddress: min(most, cfg.Listen.ConnectionsPerAddress), Exempt: proxies,
		OnShed: s.metrics.ConnectionShed, Logger: s.options.Logger,
	})
	s.metrics.Connections(gate.Open)
	s.metrics.Plaintext(func() int { return len(s.rooms.Load().config.Plaintext()) })
	s.public.ConnState = gate.Follow
	s.publicAt = gate.Listen(s.publicAt)
	return nil
}
