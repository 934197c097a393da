package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"kdgate/internal/config"
)

const deploy = "../../deploy"

// series are the names of a rule or a panel, and those that our code registers.
var (
	usedSeries = regexp.MustCompile(`\bkdgate_[a-z_]+\b`)
	ourSeries  = regexp.MustCompile(`Name: "(kdgate_[a-z_]+)"`)
)

// TestDeployReads: every file of deploy is what its ending says (F90, F94).
func TestDeployReads(t *testing.T) {
	read := 0
	must(t, filepath.WalkDir(deploy, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		switch filepath.Ext(path) {
		case ".json":
			if !json.Valid(text) {
				t.Errorf("%s is no JSON", path)
			}
		case ".yaml":
			documents := yaml.NewDecoder(bytes.NewReader(text))
			for {
				var document map[string]any
				if err := documents.Decode(&document); errors.Is(err, io.EOF) {
					break
				} else if err != nil || len(document) == 0 {
					t.Fatalf("%s: %v, %v", path, document, err)
				}
			}
		}
		return nil
	}))
	if read < 10 {
		t.Errorf("only %d files", read)
	}
}

// TestDeployConfigurations: what we ship as configurations is right but for the
// files with the secrets, which are not ours to ship.
func TestDeployConfigurations(t *testing.T) {
	for _, folder := range []string{"compose", "kubernetes"} {
		_, err := config.Load(filepath.Join(deploy, folder, "kdgate.yaml"), nil)
		mistakes, ok := errors.AsType[config.Mistakes](err)
		if !ok {
			t.Fatalf("%s: %v", folder, err)
		}
		for _, mistake := range mistakes {
			if !strings.Contains(mistake, "no such file") && !strings.Contains(mistake, "there is no file") {
				t.Errorf("%s: %s", folder, mistake)
			}
		}
	}
}

// TestDeploySeries: rules and dashboard ask for series that are there (F94), and the
// dashboard leaves none out that the interface names.
func TestDeploySeries(t *testing.T) {
	var ours []string
	sources, err := filepath.Glob("../../internal/metrics/*.go")
	must(t, err)
	for _, source := range sources {
		text, err := os.ReadFile(source)
		must(t, err)
		for _, match := range ourSeries.FindAllStringSubmatch(string(text), -1) {
			ours = append(ours, match[1])
		}
	}
	if len(ours) < 15 {
		t.Fatalf("only %q", ours)
	}
	shown := map[string]bool{}
	for _, file := range []string{"prometheus/kdgate.rules.yaml", "grafana/kdgate.json"} {
		text, err := os.ReadFile(filepath.Join(deploy, file))
		must(t, err)
		for _, name := range usedSeries.FindAllString(string(text), -1) {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				if base, cut := strings.CutSuffix(name, part); cut && slices.Contains(ours, base) {
					name = base
				}
			}
			shown[name] = true
			if !slices.Contains(ours, name) {
				t.Errorf("%s asks for %s, which is not there", file, name)
			}
		}
	}
	for _, name := range ours {
		if !shown[name] {
			t.Errorf("%s is in no rule and on no dashboard", name)
		}
	}
}

// TestDeployWithTools has the tools that will read the files look at them, where they are installed.
func TestDeployWithTools(t *testing.T) {
	unit, err := os.ReadFile(filepath.Join(deploy, "systemd", "kdgate.service"))
	must(t, err)
	built, err := filepath.Abs(binary)
	must(t, err)
	placed := filepath.Join(t.TempDir(), "kdgate.service") // with a binary that is there
	must(t, os.WriteFile(placed, bytes.ReplaceAll(unit, []byte("/usr/local/bin/kdgate"), []byte(built)), 0o600))
	for _, tool := range [][]string{
		{"systemd-analyze", "verify", placed},
		{"kubectl", "kustomize", filepath.Join(deploy, "kubernetes")},
	} {
		if _, err := exec.LookPath(tool[0]); err != nil {
			t.Logf("%s is not there", tool[0])
			continue
		}
		out, err := exec.Command(tool[0], tool[1:]...).CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v\n%s", tool, err, out)
		}
		if tool[0] == "kubectl" && bytes.Count(out, []byte("\nkind: ")) != 6 {
			t.Errorf("%s", out)
		}
	}
}
