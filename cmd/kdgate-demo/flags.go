package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
)

// flags are what the trial can be told.
type flags struct {
	gateway, dingtalk, kingdee, ops string
	data, redis, only               string
	people                          int
	quiet                           bool
	mode, directory, consent        string
	qps                             int
}

var errUsage = errors.New("usage")

func parse(args []string, stderr io.Writer) (flags, error) {
	var f flags
	set := f.set()
	set.SetOutput(stderr)
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return f, err
		}
		return f, fmt.Errorf("%w: %w", errUsage, err)
	}
	if set.NArg() > 0 {
		return f, fmt.Errorf("%w: unexpected %q", errUsage, set.Arg(0))
	}
	return f, f.check()
}

// set is the command line that fills f, which gets the defaults now.
func (f *flags) set() *flag.FlagSet {
	set := flag.NewFlagSet("kdgate-demo", flag.ContinueOnError)
	set.StringVar(&f.gateway, "gateway", "localhost:8080", "where the gateway listens")
	set.StringVar(&f.dingtalk, "dingtalk", "localhost:8081", "where the DingTalk simulator listens")
	set.StringVar(&f.kingdee, "kingdee", "localhost:8082", "where the Kingdee simulator listens")
	set.StringVar(&f.ops, "ops", "localhost:8083", "where health and metrics are")
	set.StringVar(&f.data, "data", "", "folder to keep; a temporary one when empty")
	set.StringVar(&f.redis, "redis", "", "redis://… instead of the embedded store")
	set.StringVar(&f.only, "only", "", "run one simulator alone: dingtalk or kingdee")
	set.IntVar(&f.people, "people", 0, "so many invented people beside the cast")
	set.BoolVar(&f.quiet, "quiet", false, "do not show the gateway's log")
	set.IntVar(&f.qps, "qps", 0, "calls a second the simulated DingTalk allows each API: 0 its own 20, negative no limit")
	set.StringVar(&f.mode, "mode", "link", "how people reach Kingdee: link, by a redirect, or proxy, through the gateway")
	set.StringVar(&f.directory, "directory", "on", "the sync of people: on, events are followed and a first run waits for you; preview, runs only tell; off")
	set.StringVar(&f.consent, "consent", "off", "whether people have to agree before their data go to Kingdee: off or required")
	return set
}

// check refuses words that no flag knows, and addresses that are not on loopback.
func (f *flags) check() error {
	for _, choice := range []struct {
		value string
		among []string
		words string
	}{
		{f.only, []string{"", "dingtalk", "kingdee"}, "--only is dingtalk or kingdee"},
		{f.mode, []string{"link", "proxy"}, "--mode is link or proxy"},
		{f.consent, []string{"off", "required"}, "--consent is off or required"},
		{f.directory, []string{"on", "preview", "off"}, "--directory is on, preview or off"},
	} {
		if !slices.Contains(choice.among, choice.value) {
			return fmt.Errorf("%w: %s", errUsage, choice.words)
		}
	}
	if f.people < 0 {
		return fmt.Errorf("%w: --people %d; how many to invent, at least 0", errUsage, f.people)
	}
	for _, address := range []string{f.gateway, f.dingtalk, f.kingdee, f.ops} {
		if err := loopbackOnly(address); err != nil {
			return err
		}
	}
	return nil
}

// loopbackOnly keeps the trial, with its published secrets, off every network.
func loopbackOnly(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is not host:port", errUsage, address)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%w: %s is not on loopback; the trial stays on this machine", errUsage, address)
	}
	return nil
}
