package app

import (
	"context"
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

// verifyAudit proves this gateway's log beside the gateway.
func (c *Core) verifyAudit(ctx context.Context, progress func(done, total uint64)) (audit.Report, error) {
	verify, err := VerifyConfig(c.options.Config)
	if err != nil {
		return audit.Report{}, err
	}
	verify.Progress, verify.Now = progress, c.options.Now
	return audit.Verify(ctx, verify)
}
