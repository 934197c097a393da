package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"kdgate/internal/app"
	"kdgate/internal/config"
	"kdgate/internal/logbook"
)

// softMemory is where the collector begins to work harder: two thousand slow TLS
// connections otherwise leave half a gigabyte of what is already garbage (R58), and
// R3 allows 200 MiB in all, of which the program's own file is some 20.
// GOMEMLIMIT overrides it.
const softMemory = 160 << 20

// startLasts is when what the start needed is given back: its memory, the hash of
// the console's emergency secret above all, and the pages of the program's file.
const startLasts = 2 * time.Second

// collectAt lets the heap grow to three times what lives in it before it is
// collected: 4 MiB more under load for a few hundredths of the processor's time.
// GOGC overrides it.
const collectAt = 200

func (p *program) serve() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run the gateway until SIGTERM; SIGHUP reads the configuration again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.load()
			if err != nil {
				return err
			}
			var level slog.LevelVar
			level.Set(logLevel(cfg))
			book := logbook.New(p.stderr)
			defer func() { _ = book.Flush() }() // a standard error that takes nothing has nobody to tell
			logger := slog.New(book.Urgent(slog.NewJSONHandler(book, &slog.HandlerOptions{Level: &level})))
			for _, warning := range cfg.Warnings {
				logger.Warn("configuration", "warning", warning)
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(collectAt)
			}
			if debug.SetMemoryLimit(-1) == math.MaxInt64 { // nobody set GOMEMLIMIT
				debug.SetMemoryLimit(softMemory)
			}
			server, err := app.NewServer(cmd.Context(), app.Options{
				Config: cfg, Replica: replicaName(p.hostname), Version: version, Logger: logger,
			})
			if err != nil {
				return err
			}
			return p.serveUntilDone(cmd.Context(), server, logger, &level)
		},
	}
}

// serveUntilDone serves, and reads the configuration again at each SIGHUP.
func (p *program) serveUntilDone(ctx context.Context, server *app.Server, logger *slog.Logger, level *slog.LevelVar) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	done, reloader := make(chan struct{}), sync.WaitGroup{}
	reloader.Go(func() {
		started := time.NewTimer(startLasts)
		defer started.Stop()
		for {
			select {
			case <-done:
				return
			case <-started.C:
				debug.FreeOSMemory()
				giveBackImage()
			case <-hangup:
				p.reload(ctx, server, logger, level)
			}
		}
	})
	err := server.Run(ctx)
	close(done)
	reloader.Wait()
	return err
}

// reload reads the file again; a bad one leaves the old configuration running (R55).
func (p *program) reload(ctx context.Context, server *app.Server, logger *slog.Logger, level *slog.LevelVar) {
	var cfg *config.Config
	err := server.Reload(ctx, func() (_ *config.Config, err error) {
		cfg, err = p.load()
		return cfg, err
	})
	if err != nil {
		logger.Error("the new configuration is not in force; the old one goes on", "error", err)
		return
	}
	level.Set(logLevel(cfg))
	for _, warning := range cfg.Warnings {
		logger.Warn("configuration", "warning", warning)
	}
	logger.Info("the new configuration is in force")
}

func logLevel(cfg *config.Config) slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Log.Level)) // the configuration has checked it
	return level
}

// replicaName makes a name for the audit log of the host's: letters, digits,
// dot, dash and underscore, and room for a suffix within its 64.
func replicaName(host string) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-", r)) {
			return r
		}
		return '-'
	}, host)
	if name == "" {
		return "kdgate"
	}
	return name[:min(len(name), 60)]
}

func (p *program) checkConfig() *cobra.Command {
	return &cobra.Command{
		Use: "check-config", Short: "Report every mistake in the configuration at once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := p.load()
			if err == nil {
				err = app.CheckRules(cfg)
			}
			if p.json {
				return errors.Join(p.printJSON(checkReport(cfg, err)), err)
			}
			if err != nil {
				return err
			}
			for _, warning := range cfg.Warnings {
				fmt.Fprintln(p.stdout, "warning:", warning)
			}
			fmt.Fprintf(p.stdout, "%s is well: %d organisation(s), %d data centre(s)\n",
				p.configPath, len(cfg.Corps), len(cfg.DataCentres))
			return nil
		},
	}
}

// configReport is the machine form of check-config.
type configReport struct {
	OK       bool     `json:"ok"`
	Mistakes []string `json:"mistakes"`
	Warnings []string `json:"warnings"`
}

func checkReport(cfg *config.Config, err error) configReport {
	report := configReport{OK: err == nil, Mistakes: []string{}, Warnings: []string{}}
	if mistakes, ok := errors.AsType[config.Mistakes](err); ok {
		report.Mistakes = mistakes
	} else if err != nil {
		report.Mistakes = []string{err.Error()}
	}
	if cfg != nil && cfg.Warnings != nil {
		report.Warnings = cfg.Warnings
	}
	return report
}

// configReference prints the page docs/configuration.md from the code itself (F96).
func (p *program) configReference() *cobra.Command {
	return &cobra.Command{
		Use: "config-reference", Short: "Print the configuration reference as Markdown", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprint(p.stdout, referenceHead)
			for _, key := range config.Reference() {
				fmt.Fprintf(p.stdout, "| `%s` | %s | %s | %s | `%s` |\n", key.Name, key.Kind, code(key.Default), key.Doc, key.Env)
			}
			return nil
		},
	}
}

const referenceHead = `# Configuration reference

Generated by ` + "`kdgate config-reference`" + ` from the code; do not edit.

Relative paths count from the configuration file's folder. Durations carry a unit: ` + "`30m`, `8h`, `184d`" + `.
A variable's ` + "`N`" + ` is the index in a list, from 0. Secrets come from a ` + "`…_file`" + ` (mode 0600) or from the environment, never from this file.

| key | kind | default | what it is | environment |
|---|---|---|---|---|
`

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func (p *program) version() *cobra.Command {
	var made bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version, or what the binary is made of", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if made {
				return p.printBill()
			}
			if p.json {
				return p.printJSON(map[string]string{"version": version})
			}
			_, err := fmt.Fprintln(p.stdout, "kdgate", version)
			return err
		},
	}
	cmd.Flags().BoolVar(&made, "sbom", false, "print the modules it is built from, as CycloneDX JSON")
	return cmd
}
