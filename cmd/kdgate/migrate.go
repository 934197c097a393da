package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"kdgate/internal/config"
	"kdgate/mapping"
)

// source are the flags that name the old store.
type source struct{ from, to, path, config string }

func (p *program) migrate() *cobra.Command {
	var s source
	cmd := &cobra.Command{
		Use: "migrate --from sqlite --to redis", Short: "Move the state to another store; can be interrupted and run again", Args: cobra.NoArgs,
		Long: "--config names the configuration with the new store. The old embedded store is found at its store.path, or where\n" +
			"--from-path says; an old Redis is named by --source-config, the configuration it was used with. No gateway may run\n" +
			"on either. Both sides are compared before the old one is taken out of use; the audit log stays where it is.",
		RunE: func(cmd *cobra.Command, _ []string) error { return p.move(cmd.Context(), s) },
	}
	cmd.Flags().StringVar(&s.from, "from", "", "driver of the old store: sqlite or redis")
	cmd.Flags().StringVar(&s.to, "to", "", "driver of the new store: redis or sqlite")
	cmd.Flags().StringVar(&s.path, "from-path", "", "file of the old embedded store")
	cmd.Flags().StringVar(&s.config, "source-config", "", "configuration that the old store was used with")
	return cmd
}

func (p *program) move(ctx context.Context, s source) (err error) {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	from, err := p.sourceOf(cfg, s)
	if err != nil {
		return err
	}
	core, err := p.core(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, core.Close()) }()
	bar := p.progress("entries")
	by := mapping.Actor{Name: "cli:" + osUser(), Admin: true, Source: "local"}
	done, err := core.Migrate(ctx, by, from, bar.set)
	bar.finish()
	switch {
	case err != nil:
		return err
	case p.json:
		return p.printJSON(done)
	}
	_, err = fmt.Fprintf(p.stdout, "%d entries are in %s, compared (sha256 %.16s…); the old store is out of use\n", done.Entries, s.to, done.Digest)
	return err
}

// sourceOf is the old store, held to what the flags say of both.
func (p *program) sourceOf(cfg *config.Config, s source) (config.Store, error) {
	wrong := func(format string, args ...any) (config.Store, error) {
		return config.Store{}, fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
	}
	from := cfg.Store
	switch {
	case s.from == "" || s.to == "" || s.from == s.to:
		return wrong("say --from sqlite --to redis, or --from redis --to sqlite")
	case s.to != cfg.Store.Driver:
		return wrong("--to %s, but %s has store.driver: %s; --config names the configuration with the new store", s.to, p.configPath, cfg.Store.Driver)
	case s.path != "" && s.from != "sqlite":
		return wrong("--from-path is for the embedded store; name the old Redis with --source-config")
	case s.config != "":
		old, err := config.Load(s.config, p.environ)
		if err != nil {
			return from, fmt.Errorf("--source-config: %w", err)
		}
		from = old.Store
	case s.from == "redis":
		return wrong("--source-config is missing: the configuration that the old Redis was used with")
	default:
		from.Driver = "sqlite"
	}
	if s.path != "" {
		path, err := filepath.Abs(s.path)
		if err != nil {
			return from, err
		}
		from.Path = path
	}
	if from.Driver != s.from {
		return wrong("--from %s, but %s has store.driver: %s", s.from, s.config, from.Driver)
	}
	return from, nil
}
