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
	redis, err := redisstore.FromURL(identity.NewSecret(cfg.URL))
	if err != nil {
		return nil, fmt.Errorf("store.url: %w", err)
	}
	redis.Tenant = cfg.Tenant
	if cfg.Username != "" {
		redis.Username = cfg.Username
	}
	redis.Password = cfg.Password
	if redis.TLS != nil {
		server := redis.TLS.ServerName
		if redis.TLS, err = clientTLS(cfg.TLS.CAFile, cfg.TLS.ClientCert, cfg.TLS.ClientKey); err != nil {
			return nil, fmt.Errorf("store.tls: %w", err)
		}
		redis.TLS.ServerName = server
	}
	return redisstore.Open(redis)
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
