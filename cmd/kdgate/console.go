package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kdgate/internal/config"
	"kdgate/internal/localapi"
)

func (p *program) console() *cobra.Command {
	return group("console", "The console's emergency account", p.consoleReset())
}

// consoleReset is the way back in for whoever lost the password.
func (p *program) consoleReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset", Short: "Give the emergency account a new one-time secret, end its sessions and forget the tries counted", Args: cobra.NoArgs,
		Long: "The secret is written to a file that only its owner reads; it is good once, for setting a password,\nand for an hour it works however many strangers try the account.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withTable(cmd.Context(), func(c *localapi.Client, _ *config.Config) error {
				file, err := c.ResetBreakGlass(cmd.Context())
				if err != nil {
					return err
				}
				if p.json {
					return p.printJSON(map[string]string{"file": file})
				}
				_, err = fmt.Fprintf(p.stdout, "the one-time secret is in %s\n", file)
				return err
			})
		},
	}
}
