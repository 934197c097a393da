package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"kdgate/audit"
	"kdgate/internal/checkup"
	"kdgate/internal/config"
	"kdgate/internal/metrics"
	"kdgate/store/redisstore"
)

// bare is a Core that has clients of the vendors and nothing of an installation.
func bare(options Options) *Core {
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Core{options: options, metrics: metrics.New(), egress: newEgress(options)}
}

// Preflight tests a configuration that is not in force: only is the peer, or the
// kind of peers (dingtalk, kingdee, store, host). Nothing of the installation is
// opened or made, so it can be asked before there is one (F32).
func Preflight(ctx context.Context, options Options, only string) (checkup.Result, error) {
	c := bare(options)
	v, err := c.newVendors(options.Config, vendors{})
	if err != nil {
		return checkup.Result{}, err
	}
	defer v.hangUp(vendors{})
	host := withPort(options.Config.Listen.Address, checkup.HostPeer(checkup.Host{
		Certificate: options.Config.Listen.Cert, Name: publicHost(options.Config), Plaintext: options.Config.Plaintext(),
		Disk: c.askPlannedDisk, Now: c.options.Now,
	}))
	peers := append(vendorPeers(options.Config, v, c), c.plannedStore(), host)
	wanted := peers[:0:0]
	for _, peer := range peers {
		if only == "" || checkup.IsOf(peer.Name, only) {
			wanted = append(wanted, peer)
		}
	}
	return c.newDoctor(wanted).Run(ctx, "", nil), nil
}

// withPort also asks whether the public listener's port can be taken.
func withPort(address string, host checkup.Peer) checkup.Peer {
	return checkup.Peer{Name: host.Name, Test: func(ctx context.Context) []checkup.Item {
		items := host.Test(ctx)
		var lc net.ListenConfig
		at, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			item := checkup.Broken("port", "port-taken", err)
			item.Values = map[string]string{"address": address}
			return append(items, item)
		}
		_ = at.Close() // it was only asked for
		return append(items, checkup.Item{Check: "port", Status: checkup.OK, Detail: address})
	}}
}

// plannedStore tests a store before anything is in it: Redis answers and keeps
// what it is told, or the folder of the embedded one can be written.
func (c *Core) plannedStore() checkup.Peer {
	cfg := c.options.Config.Store
	if cfg.Driver != "redis" {
		return checkup.Peer{Name: "store", Test: func(context.Context) []checkup.Item {
			if err := askWritable(filepath.Dir(cfg.Path)); err != nil {
				return []checkup.Item{checkup.Broken("folder", "store-folder", err)}
			}
			return []checkup.Item{{Check: "folder", Status: checkup.OK, Detail: filepath.Dir(cfg.Path)}}
		}}
	}
	return checkup.Peer{Name: "store", Test: func(ctx context.Context) []checkup.Item {
		opened, err := openDriver(ctx, cfg, c.options.Now)
		if err != nil {
			return []checkup.Item{checkup.Broken("answers", "store-unreachable", err)}
		}
		defer opened.Close()
		planned := checkup.Store{Driver: cfg.Driver, Ping: opened.Ping, Now: c.options.Now}
		if redis, ok := opened.(*redisstore.Driver); ok {
			planned.Condition = func(ctx context.Context) (checkup.Condition, error) {
				told, err := redis.Condition(ctx)
				return checkup.Condition(told), err
			}
		}
		return checkup.StorePeer(planned).Test(ctx)
	}}
}

// nearest is the folder itself, or the nearest one above it that is there.
func nearest(dir string) string {
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// askWritable makes a file in the folder, or where the folder is to be made, and
// takes it away again.
func askWritable(dir string) error {
	file, err := os.CreateTemp(nearest(dir), ".kdgate-probe-*")
	if err != nil {
		return fmt.Errorf("the folder cannot be written: %w", err)
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// askPlannedDisk is askDisk for folders that may not be there yet.
func (c *Core) askPlannedDisk(context.Context) error {
	for _, dir := range []string{DataDir(c.options.Config), c.options.Config.Audit.Dir} {
		used, err := diskUsed(nearest(dir))
		if err != nil {
			return err
		}
		if used >= diskWarning {
			return fmt.Errorf("the disk of %s is %.0f %% full", dir, used*100)
		}
	}
	return nil
}

// Attempts are the newest sign-ins and minted links, the newest first. It is for
// whoever watches a first sign-in on the machine itself; reads in the console are
// recorded, this one is not.
func (c *Core) Attempts(ctx context.Context, limit int) ([]audit.Record, error) {
	var all []audit.Record
	for _, action := range []audit.Action{audit.ActionMint, audit.ActionSignIn, audit.ActionMappingResolve} {
		page, err := c.log.Search(ctx, audit.Query{Action: action, Limit: limit})
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
	}
	return all, nil
}

// publicHost is the name that the public certificate has to carry.
func publicHost(cfg *config.Config) string {
	u, err := url.Parse(cfg.PublicURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
