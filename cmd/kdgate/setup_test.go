package main

import (
	"os"
	"os/exec"
	"testing"
)

// F32: the wizard begins where nothing is, says so where a configuration is
// missing, and refuses to write over one or to be reached from elsewhere.
func TestSetupCommand(t *testing.T) {
	h := newHouse(t)
	h.run("setup").want(t, 2, "there is a configuration already", "kdgate.yaml")
	must(t, os.Remove(h.path("kdgate.yaml")))
	h.run("serve").want(t, 2, "kdgate setup makes one")
	h.run("setup", "--listen", "0.0.0.0:0").want(t, 2, "not a loopback address", "ssh -L")
	must(t, os.WriteFile(h.path("kdgate.yaml.setup"), []byte("{"), 0o600))
	h.runWith(func(cmd *exec.Cmd) { cmd.Dir = h.dir }, "setup").want(t, 1, "kdgate.yaml.setup", "begin anew")
}
