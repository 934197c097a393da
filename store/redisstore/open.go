package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
)

// Config is how to reach Redis.
type Config struct {
	// Addrs is one host:port or socket path; the sentinels when MasterName is
	// set; seeds of the cluster when Cluster is set.
	Addrs      []string
	MasterName string // the master's name at the sentinels
	Cluster    bool

	Username         string
	Password         identity.Secret
	SentinelUsername string
	SentinelPassword identity.Secret

	DB     int         // not with Cluster
	TLS    *tls.Config // nil: plaintext
	Tenant string      // separates deployments that share one Redis; "default" by default

	Timeout  time.Duration // of one operation with all its repeats; 1.8 s by default
	PoolSize int           // connections at most; 32 by default

	// WaitReplicas is how many replicas have to confirm a change before it counts;
	// 0 for none. Not with Cluster.
	WaitReplicas int
}

// FromURL reads redis://[user[:password]@]host:port[/db], rediss:// for TLS, or
// unix://[user[:password]@]/path. Several URLs, of sentinels or of nodes of one
// cluster, may differ in host and port only. Errors do not repeat a URL: it may
// hold a password.
func FromURL(urls ...identity.Secret) (Config, error) {
	var cfg Config
	for i, url := range urls {
		opt, err := redis.ParseURL(url.Reveal())
		if err != nil {
			return Config{}, errors.New("redisstore: the URL is not of the form redis://user:password@host:port/db")
		}
		if i == 0 {
			cfg = Config{Username: opt.Username, Password: identity.NewSecret(opt.Password), DB: opt.DB, TLS: opt.TLSConfig}
		} else if opt.Username != cfg.Username || !cfg.Password.Equal(identity.NewSecret(opt.Password)) || opt.DB != cfg.DB ||
			(opt.TLSConfig == nil) != (cfg.TLS == nil) {
			return Config{}, errors.New("redisstore: the URLs differ in more than host and port")
		}
		cfg.Addrs = append(cfg.Addrs, opt.Addr)
	}
	if cfg.TLS != nil {
		cfg.TLS.ServerName = "" // each certificate is held to the address it is met at
	}
	return cfg, nil
}

var tenantName = lazyregexp.New(`^[A-Za-z0-9._-]{1,64}$`)

// withDefaults fills what is unset and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	if c.Tenant == "" {
		c.Tenant = "default"
	}
	if c.Timeout <= 0 {
		c.Timeout = 1800 * time.Millisecond
	}
	if c.PoolSize <= 0 {
		c.PoolSize = 32
	}
	switch {
	case len(c.Addrs) == 0:
		return c, errors.New("redisstore: no address")
	case !tenantName().MatchString(c.Tenant):
		return c, fmt.Errorf("redisstore: tenant %q: 1 to 64 letters, digits, dots, dashes or underscores", c.Tenant)
	case c.Cluster && c.WaitReplicas > 0:
		return c, errors.New("redisstore: a cluster's nodes cannot be waited for; set min-replicas-to-write there")
	case c.Cluster && (c.MasterName != "" || c.DB != 0):
		return c, errors.New("redisstore: a cluster has neither a master name nor database numbers")
	case !c.Cluster && c.MasterName == "" && len(c.Addrs) > 1:
		return c, errors.New("redisstore: several addresses need a master name (Sentinel) or cluster: true")
	}
	return c, nil
}

// options translates to go-redis.
func (c Config) options(dial *dialer) *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs:            slices.Clone(c.Addrs), // a cluster client appends to it in place
		MasterName:       c.MasterName,
		IsClusterMode:    c.Cluster,
		Username:         c.Username,
		Password:         c.Password.Reveal(),
		SentinelUsername: c.SentinelUsername,
		SentinelPassword: c.SentinelPassword.Reveal(),
		DB:               c.DB,
		Dialer:           dial.dial,

		// RESP2 without extras: old servers and the proxies of managed editions
		// refuse or garble what newer handshakes ask for.
		Protocol:                 2,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},

		// A repeat is safe (see doc.go) and the context ends them all.
		MaxRetries:            3,
		MinRetryBackoff:       10 * time.Millisecond,
		MaxRetryBackoff:       200 * time.Millisecond,
		ContextTimeoutEnabled: true,
		DialTimeout:           c.Timeout,
		DialerRetries:         1,
		ReadTimeout:           c.Timeout * 2 / 3,
		WriteTimeout:          c.Timeout * 2 / 3,
		PoolTimeout:           c.Timeout,
		PoolSize:              c.PoolSize,
		ConnMaxIdleTime:       5 * time.Minute,
	}
}

// quiet keeps go-redis from printing to stderr: what it would say comes back to
// us as errors. The logger is a global of that library, so it is set once.
var quiet = sync.OnceFunc(func() { redis.SetLogger(&logging.VoidLogger{}) })

// Open prepares a driver. It fails on a configuration that cannot work, not on
// a Redis that is away: Ping tells, and everything recovers by itself.
func Open(cfg Config) (*Driver, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	quiet()
	dial := newDialer(cfg.TLS, cfg.Timeout)
	ctx, cancel := context.WithCancel(context.Background())
	d := &Driver{
		client:   redis.NewUniversalClient(cfg.options(dial)),
		dialer:   dial,
		user:     cfg.Username,
		timeout:  cfg.Timeout,
		replicas: cfg.WaitReplicas,
		names:    newNames(cfg.Tenant),
		scripts:  newScripts(),
		ear:      newEar(cfg.Timeout),
		breaker:  newBreaker(),
		cancel:   cancel,
		stopped:  make(chan struct{}),
	}
	d.close = sync.OnceValue(d.shut)
	go func() {
		defer close(d.stopped)
		d.ear.listen(ctx, d.client, d.names.channel)
	}()
	return d, nil
}
