package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"kdgate/internal/app"
	"kdgate/internal/config"
)

// version is set by the linker.
var version = "dev"

// Exit codes of the interface.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // usage or configuration
	exitFault  = 3 // a verification found a fault
)

// program is one invocation: its surroundings come in, nothing is global.
type program struct {
	stdout, stderr io.Writer
	environ        []string
	hostname       string

	configPath string
	json       bool
}

// errUsage marks a mistake in how the program was called.
var errUsage = errors.New("usage")

// errFault marks a verification that found a fault.
var errFault = errors.New("a fault was found")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	host, err := os.Hostname()
	if err != nil {
		host = "kdgate"
	}
	if err := app.NoCore(); err != nil {
		fmt.Fprintln(os.Stderr, "kdgate: a crash may leave its memory in a file:", err)
	}
	p := &program{stdout: onTerminal(os.Stdout), stderr: os.Stderr, environ: os.Environ(), hostname: host}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and says how it ended.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(p.stderr, "kdgate:", visible(err.Error())) // it may hold words of others
	if _, mistaken := errors.AsType[config.Mistakes](err); mistaken || errors.Is(err, errUsage) {
		return exitUsage
	}
	if errors.Is(err, errFault) {
		return exitFault
	}
	return exitFailed
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use: "kdgate", Short: "The gate between DingTalk and Kingdee Cloud Galaxy (金蝶云·星空)",
		SilenceErrors: true, SilenceUsage: true, Args: cobra.ArbitraryArgs, RunE: nameOne,
	}
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVar(&p.configPath, "config", "kdgate.yaml", "configuration file")
	root.PersistentFlags().BoolVar(&p.json, "json", false, "machine output")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	root.AddCommand(p.setup(), p.serve(), p.checkConfig(), p.check(), p.configReference(), p.mapping(), p.directory(), p.approvals(), p.jobs(), p.notices(), p.consent(), p.audit(), p.console(), p.backup(), p.restore(), p.migrate(), p.version())
	for _, cmd := range root.Commands() {
		usageErrors(cmd)
	}
	return root
}

// usageErrors marks wrong arguments as mistakes of usage, all the way down.
func usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, RunE: nameOne}
	cmd.AddCommand(commands...)
	return cmd
}

// nameOne is what a command that only holds others does when it is called itself.
func nameOne(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		cmd.SetOut(cmd.ErrOrStderr()) // a mistake: standard output is for what was asked for
		_ = cmd.Help()
		return fmt.Errorf("%w: name a command", errUsage)
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2 // one letter too many, too few, wrong, or two swapped
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("%w: there is no command %q%s", errUsage, strings.TrimSpace(cmd.CommandPath()+" "+args[0]), hint)
}

// load reads the configuration. A file that cannot be read is a mistake of usage.
func (p *program) load() (*config.Config, error) {
	cfg, err := config.Load(p.configPath, p.environ)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w; kdgate setup makes one in a browser", errUsage, err)
		}
		if _, mistaken := errors.AsType[config.Mistakes](err); !mistaken {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		return nil, err
	}
	return cfg, nil
}
