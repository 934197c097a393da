package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"kdgate/internal/app"
	"kdgate/internal/config"
	"kdgate/internal/localapi"
	"kdgate/internal/moving"
	"kdgate/store/archive"
)

func (p *program) backup() *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Save mappings, settings, work and the audit log to FILE, also while the gateway runs", Args: cobra.ExactArgs(1),
		Long: "Sessions and sign-ins under way are left out, and so is the seal key: without it nobody can restore FILE.\n" +
			"Keep the key apart. FILE is verified before it gets its name; an older backup of that name is replaced.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withTable(cmd.Context(), func(c *localapi.Client, cfg *config.Config) error {
				return p.save(cmd.Context(), c, cfg, args[0])
			})
		},
	}
}

// saved is the machine form of a backup.
type saved struct {
	File   string         `json:"file"`
	Size   int64          `json:"size"`
	At     time.Time      `json:"at"`
	Counts archive.Counts `json:"archive"`
}

func (p *program) save(ctx context.Context, c *localapi.Client, cfg *config.Config, path string) error {
	keys, err := app.ArchiveKeys(cfg)
	if err != nil {
		return err
	}
	bar := p.progress("bytes")
	done := saved{File: path}
	err = archive.Save(path, func(w io.Writer) error {
		return c.Backup(ctx, &counted{w: w, n: &done.Size, tell: func(n int64) { bar.set(int(n), 0) }})
	}, func(r io.Reader) error {
		header, counts, err := archive.Verify(r, keys[0])
		done.At, done.Counts = header.At, counts
		return err
	})
	bar.finish()
	if err != nil {
		return err
	}
	if p.json {
		return p.printJSON(done)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %d entries and the audit log as of %s, %d bytes, verified; the seal key is not in it: keep %s apart\n",
		path, done.Counts.Entries-done.Counts.Removals, done.At.In(china).Format("2006-01-02 15:04:05 UTC+8"), done.Size, filepath.Base(cfg.SealKeyFile()))
	return err
}

// counted counts what is written.
type counted struct {
	w    io.Writer
	n    *int64
	tell func(int64)
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	*c.n += int64(n)
	c.tell(*c.n)
	return n, err
}

func (p *program) restore() *cobra.Command {
	var over bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup into the store; exit 3 when FILE is damaged", Args: cobra.ExactArgs(1),
		Long: "The store has to be empty, or --over clears it first. Stop every gateway on it, unless they stand still because\n" +
			"Redis lost its keys: then one of them restores it and all go on. Rows that were suspended after the backup stay\n" +
			"suspended, and everybody signs in anew. Interrupted, it is run again with the same FILE.",
		RunE: func(cmd *cobra.Command, args []string) error { return p.putBack(cmd.Context(), args[0], over) },
	}
	cmd.Flags().BoolVar(&over, "over", false, "clear a store that holds something; rows it holds suspended stay suspended")
	return cmd
}

func (p *program) putBack(ctx context.Context, path string, over bool) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	keys, err := app.ArchiveKeys(cfg)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	defer file.Close()
	key, _, err := app.VerifyArchive(file, keys)
	if err != nil {
		if errors.Is(err, archive.ErrDamaged) {
			err = fmt.Errorf("%w: %w", errFault, err)
		}
		return fmt.Errorf("%s: %w; nothing was changed", path, err)
	}
	if err := p.putBackLog(ctx, cfg, file, key); err != nil {
		return err
	}
	return p.withTable(ctx, func(c *localapi.Client, _ *config.Config) error {
		bar := p.progress("entries")
		done, err := c.Restore(ctx, file, moving.Options{Over: over, Progress: bar.set})
		bar.finish()
		switch {
		case err != nil:
			return err
		case p.json:
			return p.printJSON(done)
		}
		_, err = fmt.Fprintf(p.stdout, "restored %d entries of %s; %d row(s) put right that changed after it, %d consent(s) and rule(s) closed again; everybody signs in anew\n",
			done.Entries, done.Backup.In(china).Format("2006-01-02 15:04:05 UTC+8"), done.Rows, done.Closed)
		return err
	})
}

// putBackLog restores the audit log on a host that has none. A gateway that runs
// has one.
func (p *program) putBackLog(ctx context.Context, cfg *config.Config, file *os.File, key []byte) error {
	client, err := localapi.Dial(ctx, app.DataDir(cfg), "")
	if err == nil {
		client.Close()
		return nil
	}
	if !errors.Is(err, localapi.ErrNoGateway) {
		return err
	}
	restored, err := app.RestoreLog(ctx, cfg.Audit.Dir, file, key)
	if err == nil && restored && !p.json {
		fmt.Fprintf(p.stdout, "this host had no audit log: the one of the backup is in %s\n", cfg.Audit.Dir)
	}
	return err
}
