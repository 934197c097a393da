package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"kdgate/internal/logbook"
	"kdgate/internal/setup"
)

// setup is the way from a binary and credentials to a gateway that runs.
func (p *program) setup() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "setup", Short: "Set up the gateway in a browser on this machine, test each step, and start it", Args: cobra.NoArgs,
		Long: "Prints an address on loopback that is good for one browser. What is entered there is kept beside the\n" +
			"configuration to be until the last step writes it, so a half-done set-up can be continued. Nothing is\n" +
			"written over. From another machine: ssh -L 8499:127.0.0.1:8499 HOST.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			book := logbook.New(p.stderr)
			defer func() { _ = book.Flush() }() // a standard error that takes nothing has nobody to tell
			var level slog.LevelVar
			logger := slog.New(book.Urgent(slog.NewJSONHandler(book, &slog.HandlerOptions{Level: &level})))
			wizard, err := setup.New(setup.Config{
				Path: p.configPath, Environ: p.environ, Replica: replicaName(p.hostname), Version: version, Logger: logger,
			})
			if errors.Is(err, setup.ErrConfigured) {
				err = fmt.Errorf("%w: %w", errUsage, err)
			}
			if err != nil {
				return err
			}
			at, err := setup.Listen(cmd.Context(), listen)
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			fmt.Fprintln(p.stdout, "set-up:", wizard.Address(at.Addr()))
			server, cfg, err := wizard.Serve(cmd.Context(), at)
			if err != nil {
				return err
			}
			level.Set(logLevel(cfg))
			return p.serveUntilDone(cmd.Context(), server, logger, &level)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8499", "loopback address of the pages")
	return cmd
}
