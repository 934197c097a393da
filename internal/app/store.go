package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"time"

	"kdgate/identity"
	"kdgate/internal/config"
	"kdgate/internal/metrics"
	"kdgate/store"
	"kdgate/store/redisstore"
	"kdgate/store/sqlitestore"
)

// driver is a store driver with what the composition root needs beside.
type driver interface {
	store.Driver
	io.Closer
	Ping(ctx context.Context) error
}

func openDriver(ctx context.Context, cfg config.Store, now func() time.Time) (driver, error) {
	if cfg.Driver == "sqlite" {
		return sqlitestore.Open(ctx, sqlitestore.Config{Path: cfg.Path, Now: now})
	}
	return openRedis(cfg)
}

func openRedis(cfg config.Store) (driver, error) {
	redis, err := redisConfig(cfg)
	if err != nil {
		return nil, err
	}
	return redisstore.Open(redis)
}

// redisConfig says how Redis is reached: alone, by its sentinels, or as a cluster.
func redisConfig(cfg config.Store) (redisstore.Config, error) {
	urls := make([]identity.Secret, 0, len(cfg.Addresses()))
	for _, address := range cfg.Addresses() {
		urls = append(urls, identity.NewSecret(address))
	}
	redis, err := redisstore.FromURL(urls...)
	if err != nil {
		return redisstore.Config{}, fmt.Errorf("store.url: %w", err)
	}
	redis.MasterName, redis.Cluster, redis.Tenant = cfg.Sentinel, cfg.Cluster, cfg.Tenant
	redis.WaitReplicas = cfg.WaitReplicas
	if cfg.Username != "" {
		redis.Username = cfg.Username
	}
	redis.Password = cfg.Password
	redis.SentinelUsername, redis.SentinelPassword = cfg.SentinelUsername, cfg.SentinelPassword
	if redis.TLS == nil {
		return redis, nil
	}
	if redis.TLS, err = clientTLS(cfg.TLS.CAFile, cfg.TLS.ClientCert, cfg.TLS.ClientKey); err != nil {
		return redisstore.Config{}, fmt.Errorf("store.tls: %w", err)
	}
	redis.TLS.ServerName = cfg.TLS.ServerName // empty: the address of each connection
	return redis, nil
}

// clientTLS verifies the other side against the system's roots or caFile, and
// shows a certificate of ours where one is named.
func clientTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", caFile)
		}
	}
	if certFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// timedStore times every operation.
type timedStore struct {
	store.Store
	driver  string
	metrics *metrics.Metrics
	now     func() time.Time
}

// Get implements store.Store.
func (s timedStore) Get(ctx context.Context, key string) (store.Entry, error) {
	defer s.time("get", s.now())
	return s.Store.Get(ctx, key)
}

// Scan implements store.Store.
func (s timedStore) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	defer s.time("scan", s.now())
	return s.Store.Scan(ctx, prefix, after, limit)
}

// Commit implements store.Store.
func (s timedStore) Commit(ctx context.Context, ops ...store.Op) error {
	defer s.time("commit", s.now())
	return s.Store.Commit(ctx, ops...)
}

func (s timedStore) time(op string, start time.Time) {
	s.metrics.Store(s.driver, op, s.now().Sub(start))
}
