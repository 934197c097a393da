package app

import (
	"context"
	"errors"
	"maps"
	"slices"

	"kdgate/audit"
	"kdgate/internal/checkup"
	"kdgate/internal/config"
	"kdgate/jobs/approval"
	"kdgate/jobs/schedule"
	"kdgate/mapping"
	"kdgate/store/redisstore"
)

// taskCheckup is the self-check by the clock.
const taskCheckup = "checkup"

// openBook makes the book of check-ups, which outlives a reload.
func (c *Core) openBook() {
	c.checkups = &checkup.Book{
		Store: c.store, Recorder: c.log, Doctor: c.doctor, Now: c.options.Now, Logger: c.options.Logger,
	}
}

// selfCheck is the check-up by the clock. Its faults are on record, and the run
// is told to have found some.
func (c *Core) selfCheck(ctx context.Context, p *schedule.Progress) error {
	result, err := c.checkups.Do(ctx, "", audit.Event{Actor: audit.System}, func(done, total int) { p.Total(int64(total)) })
	for _, status := range [...]checkup.Status{checkup.OK, checkup.Unknown, checkup.Warning, checkup.Fault} {
		p.Count(string(status), int64(result.Count(status)))
	}
	if err == nil && !result.OK {
		return schedule.ErrPartial
	}
	return err
}

// doctor tests the peers of the configuration in force.
func (c *Core) doctor() *checkup.Doctor {
	r := c.rooms.Load()
	made := c.newDoctor(vendorPeers(r.config, r.vendors, c))
	made.Facts = vendorFacts(r.config)
	made.Peers = append(made.Peers, c.storePeer(r), c.auditPeer(r.config), c.hostPeer(r.config))
	return made
}

// peerNames are the peers that can be tested one by one.
func (c *Core) peerNames() []string {
	var names []string
	for _, peer := range c.doctor().Peers {
		names = append(names, peer.Name)
	}
	return names
}

// facts are the settings in force that stand for open questions.
func (c *Core) facts() []checkup.Fact { return vendorFacts(c.rooms.Load().config) }

func (c *Core) newDoctor(peers []checkup.Peer) *checkup.Doctor {
	return &checkup.Doctor{Peers: peers, Replica: c.options.Replica, Version: c.options.Version, Now: c.options.Now}
}

func vendorPeers(cfg *config.Config, v vendors, c *Core) []checkup.Peer {
	var peers []checkup.Peer
	rules := c.rulesToCheck(cfg)
	for _, corp := range cfg.Corps {
		app := checkup.App{
			Events: corp.Events, Directory: cfg.Directory.On() && cfg.Directory.Corp == corp.ID, Yida: yidaChecks(cfg, corp, v),
			Notices: corp.AgentID != "", Robots: robotsOf(cfg, corp.ID), // a rule about notices is not taken without an AgentId
		}
		app.Approvals, app.Comments = approvalChecks(rules[corp.ID])
		peers = append(peers, checkup.DingTalkPeer(corp.ID, v.dingtalk[corp.ID].api, app))
	}
	for _, dc := range cfg.DataCentres {
		centre := checkup.Centre{
			Address: dc.URL, Jobs: cfg.Directory.On() && cfg.Directory.DataCentre == dc.ID, Bills: billForms(rules, dc.ID), Now: c.options.Now,
		}
		// A wrong file shows as a client that could not be made.
		if secure, err := clientTLS(dc.CAFile, dc.ClientCert, dc.ClientKey); err == nil {
			centre.TLS = secure
		}
		if r := c.rooms.Load(); r != nil && cfg.Canary.UserID != "" && slices.Contains(cfg.Canary.DataCentres, dc.ID) {
			centre.LinkTwice = func(ctx context.Context) (bool, error) { return c.linkTwice(ctx, r, dc.ID) }
		}
		peers = append(peers, checkup.KingdeePeer(dc.ID, v.kingdee[dc.ID].api, centre))
	}
	return peers
}

// rulesToCheck are the rules whose approvals become bills, or will when they are
// switched on, by organisation: those of the file, and of an open gateway those of
// the console too. What is wrong with a rule is told elsewhere.
func (c *Core) rulesToCheck(cfg *config.Config) map[string][]approval.Rule {
	rules := map[string][]approval.Rule{}
	add := func(corp string, rule approval.Rule) {
		if made, err := approval.VersionOf(corp, rule); err == nil { // with what its template says
			rules[corp] = append(rules[corp], made.Rule)
		}
	}
	fixed, err := fixedRules(cfg)
	if err != nil {
		return rules
	}
	for _, f := range fixed {
		add(f.Corp, f.Rule)
	}
	r := c.rooms.Load()
	if r == nil || !cfg.ApprovalConsole {
		return rules
	}
	if scene, err := r.scene(); err == nil {
		inForce, _ := scene.Force(c.rulebook.Snapshot())
		for corp, list := range inForce {
			for _, rule := range list {
				add(corp, rule)
			}
		}
	}
	return rules
}

// approvalChecks are the process codes of rules, each once, and whether a rule writes
// under its approvals. Forms of Yida are looked at in Yida's own way.
func approvalChecks(rules []approval.Rule) (processes []string, comments bool) {
	for _, rule := range rules {
		if rule.Source != approval.SourceApproval {
			continue
		}
		comments = comments || !rule.NoComment
		if !slices.Contains(processes, rule.Process) {
			processes = append(processes, rule.Process)
		}
	}
	return processes, comments
}

// billForms are the forms that rules write in a data centre, each once.
func billForms(rules map[string][]approval.Rule, dataCentre string) []string {
	forms := map[string]bool{}
	for _, list := range rules {
		for _, rule := range list {
			if rule.DataCentre == dataCentre && rule.Form != "" {
				forms[rule.Form] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(forms))
}

func robotsOf(cfg *config.Config, corp string) []string {
	var names []string
	for _, robot := range cfg.Robots {
		if robot.Corp == corp {
			names = append(names, robot.Name)
		}
	}
	return names
}

func (c *Core) storePeer(r *rooms) checkup.Peer {
	room := checkup.Store{Driver: r.config.Store.Driver, Ping: c.driver.Ping, Now: c.options.Now, Read: func(ctx context.Context) (rows int, err error) {
		for cursor := ""; ; {
			page, next, err := r.table.List(ctx, mapping.Filter{}, cursor, 0)
			if rows += len(page); err != nil || next == "" {
				return rows, err
			}
			cursor = next
		}
	}}
	if redis, ok := c.driver.(*redisstore.Driver); ok {
		room.Condition = func(ctx context.Context) (checkup.Condition, error) {
			told, err := redis.Condition(ctx)
			return checkup.Condition(told), err
		}
	}
	return checkup.StorePeer(room)
}

func (c *Core) auditPeer(cfg *config.Config) checkup.Peer {
	log := checkup.Log{
		Ping: c.log.Ping, Chains: c.log.Chains, Anchor: c.log.AnchorErr, Now: c.options.Now,
		Away: cfg.Audit.Anchor.File != "" || cfg.Audit.Anchor.Webhook != "", Feeds: map[string]func() error{},
	}
	for _, f := range c.carriers {
		log.Feeds[f.name] = f.Err
	}
	return checkup.AuditPeer(log)
}

func (c *Core) hostPeer(cfg *config.Config) checkup.Peer {
	return checkup.HostPeer(checkup.Host{
		Certificate: cfg.Listen.Cert, Name: publicHost(cfg), Secrets: cfg.SecretFiles(), Plaintext: cfg.Plaintext(), Disk: c.askDisk, Now: c.options.Now,
	})
}

// CheckUp is a check-up without a gateway. Where not even a Core can be opened,
// that is a fault, and the vendors are tested all the same.
func CheckUp(ctx context.Context, options Options, only string, event audit.Event, progress func(done, total int)) (result checkup.Result, err error) {
	core, openErr := OpenCore(ctx, options)
	if openErr == nil {
		defer func() { err = errors.Join(err, core.Close()) }()
		return core.checkups.Do(ctx, only, event, progress)
	}
	alone := bare(options)
	var peers []checkup.Peer
	if v, err := alone.newVendors(options.Config, vendors{}); err == nil {
		peers = vendorPeers(options.Config, v, alone)
	}
	peers = append(peers, alone.hostPeer(options.Config), checkup.Peer{Name: "start", Test: func(context.Context) []checkup.Item {
		return []checkup.Item{checkup.Broken("start", "start", openErr)}
	}})
	return alone.newDoctor(peers).Run(ctx, only, progress), nil
}
