package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"
)

// bill is what the binary is made of, in CycloneDX 1.6
// (https://cyclonedx.org/docs/1.6/json/). It comes from what the linker wrote into
// the binary, so it is that of this very file, and the same binary always gives
// the same bill: it carries no time.
type bill struct {
	Format       string         `json:"bomFormat"`
	Spec         string         `json:"specVersion"`
	Serial       string         `json:"serialNumber"`
	Version      int            `json:"version"`
	Metadata     billMetadata   `json:"metadata"`
	Components   []component    `json:"components"`
	Dependencies []dependencies `json:"dependencies"`
}

type billMetadata struct {
	Component component `json:"component"`
}

// component is one module, or the standard library.
type component struct {
	Ref        string     `json:"bom-ref"`
	Type       string     `json:"type"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Scope      string     `json:"scope,omitempty"`
	PURL       string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// dependencies is flat: the linker notes which modules there are, not which of
// them asked for which.
type dependencies struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn"`
}

// newBill lists the modules of a build. release is the version of the program.
func newBill(info *debug.BuildInfo, release string) bill {
	program := component{Type: "application", Name: info.Main.Path, Version: release, PURL: purl(info.Main.Path, release)}
	program.Ref = program.PURL
	for _, setting := range info.Settings {
		if setting.Key == "GOOS" || setting.Key == "GOARCH" || setting.Key == "CGO_ENABLED" || setting.Key == "-tags" {
			program.Properties = append(program.Properties, property{"go:" + setting.Key, setting.Value})
		}
	}
	std := strings.TrimPrefix(info.GoVersion, "go")
	b := bill{
		Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: billMetadata{program},
		Components: []component{{Ref: purl("std", std), Type: "library", Name: "std", Version: std, Scope: "required", PURL: purl("std", std)}},
	}
	for _, module := range info.Deps {
		b.Components = append(b.Components, componentOf(module))
	}
	on := make([]string, len(b.Components))
	sum := sha256.New()
	fmt.Fprintln(sum, program.Ref)
	for i, c := range b.Components {
		on[i] = c.Ref
		fmt.Fprintln(sum, c.Ref, c.Properties)
	}
	b.Dependencies = []dependencies{{program.Ref, on}}
	b.Serial = "urn:uuid:" + uuid.NewSHA1(uuid.NameSpaceURL, sum.Sum(nil)).String()
	return b
}

// componentOf is a module as it was linked: its replacement, where it has one.
func componentOf(module *debug.Module) component {
	c := component{Type: "library", Scope: "required"}
	if replaced := module.Replace; replaced != nil {
		c.Properties = append(c.Properties, property{"go:replaces", module.Path + "@" + module.Version})
		module = replaced
	}
	c.Name, c.Version, c.PURL = module.Path, module.Version, purl(module.Path, module.Version)
	c.Ref = c.PURL
	if module.Sum != "" {
		c.Properties = append(c.Properties, property{"go:sum", module.Sum}) // as in go.sum: of the module, not of a file
	}
	return c
}

// purl is the package URL of a module (https://github.com/package-url/purl-spec,
// type golang: in lower case).
func purl(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// printBill writes the bill of this binary.
func (p *program) printBill() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("this binary does not say what it is made of: build it with modules")
	}
	return p.printJSON(newBill(info, version))
}
