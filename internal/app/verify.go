package app

import (
	"context"
	"errors"
	"os"

	"kdgate/audit"
	"kdgate/internal/config"
)

// VerifyConfig is what proves the log of a configuration: its key, and its
// anchor once there is one.
func VerifyConfig(cfg *config.Config) (audit.VerifyConfig, error) {
	keys, err := cfg.SealKeys()
	if err != nil {
		return audit.VerifyConfig{}, err
	}
	key, err := AuditKey(cfg.Audit.Dir, keys)
	if err != nil {
		return audit.VerifyConfig{}, err
	}
	verify := audit.VerifyConfig{Dir: cfg.Audit.Dir, Key: key, Anchor: cfg.Audit.Anchor.File}
	if _, err := os.Stat(verify.Anchor); err != nil {
		verify.Anchor = "" // none written yet; the report says what that leaves unproven
	}
	return verify, nil
}

// AppendAlone puts one record into the log of a configuration while no gateway
// holds it: a command's look at the log is on record too (F40).
func AppendAlone(ctx context.Context, options Options, event audit.Event) (err error) {
	settings := options.Config.Audit
	keys, err := options.Config.SealKeys()
	if err != nil {
		return err
	}
	key, err := AuditKey(settings.Dir, keys)
	if err != nil {
		return err
	}
	log, err := audit.Open(ctx, audit.Config{
		Dir: settings.Dir, Replica: options.Replica, Key: key, AnchorFile: settings.Anchor.File, Now: options.Now, Logger: options.Logger,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := keepAuditKey(settings.Dir, key); err != nil {
		return err
	}
	return log.Append(ctx, event)
}

// verifyAudit proves this gateway's log beside the gateway.
func (c *Core) verifyAudit(ctx context.Context, progress func(done, total uint64)) (audit.Report, error) {
	verify, err := VerifyConfig(c.rooms.Load().config)
	if err != nil {
		return audit.Report{}, err
	}
	verify.Progress, verify.Now = progress, c.options.Now
	return audit.Verify(ctx, verify)
}
