package main

import (
	"encoding/json"
	"os/exec"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBill proves T125's bill of materials at the binary: it names every module
// that the Go command finds in the file, each with its version and sum, and is the
// same each time.
func TestBill(t *testing.T) {
	t.Parallel()
	first, err := exec.Command(binary, "version", "--sbom").Output()
	must(t, err)
	second, err := exec.Command(binary, "version", "--sbom").Output()
	must(t, err)
	if string(first) != string(second) {
		t.Error("two bills of one binary differ")
	}
	var b bill
	must(t, json.Unmarshal(first, &b))
	if b.Format != "CycloneDX" || b.Spec != "1.6" || b.Version != 1 || b.Metadata.Component.Name != "kdgate" || b.Metadata.Component.Version != builtVersion {
		t.Errorf("%+v", b.Metadata)
	}
	if !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`).MatchString(b.Serial) {
		t.Errorf("serial number %q", b.Serial)
	}
	listed := map[string]string{}
	for _, c := range b.Components {
		if _, twice := listed[c.Name]; twice || c.Ref != c.PURL || !strings.HasPrefix(c.PURL, "pkg:golang/") || c.Type != "library" {
			t.Errorf("%+v", c)
		}
		listed[c.Name] = c.Version
		if c.Name != "std" && (len(c.Properties) != 1 || !strings.HasPrefix(c.Properties[0].Value, "h1:")) {
			t.Errorf("%s has no sum: %v", c.Name, c.Properties)
		}
	}
	out, err := exec.Command("go", "version", "-m", binary).Output()
	must(t, err)
	want := map[string]string{"std": strings.TrimPrefix(regexp.MustCompile(`: (go\S+)`).FindStringSubmatch(string(out))[1], "go")}
	for _, line := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(string(out), -1) {
		want[line[1]] = line[2]
	}
	if diff := cmp.Diff(want, listed); diff != "" || len(want) < 30 {
		t.Errorf("%d modules: %s", len(want), diff)
	}
	if len(b.Dependencies) != 1 || len(b.Dependencies[0].On) != len(b.Components) || b.Dependencies[0].Ref != b.Metadata.Component.Ref {
		t.Errorf("%d components, dependencies %+v", len(b.Components), b.Dependencies)
	}
}

// TestBillOfAReplacement: what was linked is named, with what it stands for, and
// another set of modules is another bill.
func TestBillOfAReplacement(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "kdgate"}, Deps: []*debug.Module{
		{Path: "example.com/Lib", Version: "v1.0.0", Sum: "h1:a", Replace: &debug.Module{Path: "example.com/Fork", Version: "v1.0.1+incompatible", Sum: "h1:b"}},
	}}
	b := newBill(info, "v1")
	got := b.Components[slices.IndexFunc(b.Components, func(c component) bool { return c.Name == "example.com/Fork" })]
	want := component{
		Ref: "pkg:golang/example.com/fork@v1.0.1%2Bincompatible", Type: "library", Name: "example.com/Fork", Version: "v1.0.1+incompatible", Scope: "required",
		PURL:       "pkg:golang/example.com/fork@v1.0.1%2Bincompatible",
		Properties: []property{{"go:replaces", "example.com/Lib@v1.0.0"}, {"go:sum", "h1:b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	info.Deps[0].Replace.Sum = "h1:c"
	if newBill(info, "v1").Serial == b.Serial {
		t.Error("another module, the same serial number")
	}
}
