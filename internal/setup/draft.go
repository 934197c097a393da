package setup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"kdgate/internal/checkup"
	"kdgate/internal/config"
	"kdgate/internal/strictjson"
	"kdgate/internal/wholefile"
)

// draft is what was entered so far.
type draft struct {
	Values  map[string]string `json:"values"`
	Entered []checkup.Step    `json:"entered"`          // steps that were saved without a mistake
	Admin   string            `json:"admin,omitempty"`  // userid of the first administrator
	Landed  bool              `json:"landed,omitempty"` // the first sign-in went through to Kingdee
}

// loadDraft reads what an earlier set-up left; nothing is no mistake.
func loadDraft(path string) (*draft, error) {
	d := &draft{Values: map[string]string{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return nil, fmt.Errorf("setup: the draft: %w", err)
	}
	if err := strictjson.Decode(text, d); err != nil {
		return nil, fmt.Errorf("setup: the draft %s cannot be read; remove it to begin anew: %w", path, err)
	}
	if d.Values == nil {
		d.Values = map[string]string{}
	}
	return d, nil
}

// save writes the draft whole or not at all. It holds secrets: nobody else may read it.
func (d *draft) save(path string) error {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("setup: the draft: %w", err)
	}
	if err := wholefile.Replace(path, append(text, '\n')); err != nil {
		return fmt.Errorf("setup: the draft: %w", err)
	}
	return nil
}

// copy is a draft of its own.
func (d *draft) copy() *draft {
	made := *d
	made.Values, made.Entered = maps.Clone(d.Values), slices.Clone(d.Entered)
	return &made
}

// has reports whether a step was entered.
func (d *draft) has(step checkup.Step) bool { return slices.Contains(d.Entered, step) }

// enter takes the values of a step. A secret that was left empty stays as it is.
func (d *draft) enter(step checkup.Step, values map[string]string) {
	for _, f := range fields[step] {
		value := strings.TrimSpace(values[f.Name])
		if f.Kind == secret && value == "" {
			continue
		}
		if d.Values[f.Name] != value && (step == checkup.StepDingTalk || step == checkup.StepKingdee) {
			d.Landed = false // another peer, another sign-in
		}
		d.Values[f.Name] = value
	}
	d.Entered = slices.DeleteFunc(d.Entered, func(s checkup.Step) bool { return s == step })
}

// value is what was entered, or the default.
func (d *draft) value(f field) string {
	if value, there := d.Values[f.Name]; there {
		return value
	}
	return f.Default
}

// get is the value of a field by its name.
func (d *draft) get(step checkup.Step, name string) string {
	for _, f := range fields[step] {
		if f.Name == name {
			return d.value(f)
		}
	}
	return ""
}

// form says which form of the configuration is written.
type form struct {
	// Trial is the folder of a gateway on trial: its store and log are there, and
	// secrets come by environment. Empty: the form that is kept.
	Trial string
	// Only fills what does not belong to the step with what is right anyhow, so
	// that one step can be looked at before the others are entered.
	Only checkup.Step
}

// The names of the secret files, beside the configuration.
const (
	dingtalkFile = "dingtalk.secret"
	kingdeeFile  = "kingdee.secret"
	redisFile    = "redis.secret"
	sealFile     = "data/seal.key"
	centreID     = "live"
)

// quoted is a text as a YAML scalar: JSON's form is one, and no value can end it.
func quoted(value string) string {
	text, err := json.Marshal(value)
	if err != nil {
		return `""` // strings have no error
	}
	return string(text)
}

// yaml writes the configuration.
func (d *draft) yaml(f form) string {
	var b strings.Builder
	b.WriteString("# Written by kdgate setup. docs/configuration.md has every key; kdgate check-config finds mistakes.\n")
	d.writeAddress(&b, f)
	d.writeStore(&b, f)
	d.writeDingTalk(&b, f)
	d.writeKingdee(&b, f)
	if d.Admin != "" && f.Only == "" {
		fmt.Fprintf(&b, "admins:\n  - {corp: %s, userid: %s, role: admin}\n", quoted(d.get(checkup.StepDingTalk, "corp")), quoted(d.Admin))
	}
	return b.String()
}

// skips reports whether a step's section is filled with what is right anyhow.
func (f form) skips(step checkup.Step) bool { return f.Only != "" && f.Only != step }

func (d *draft) writeAddress(b *strings.Builder, f form) {
	if f.skips(checkup.StepAddress) {
		b.WriteString("public_url: \"http://localhost:8080\"\nlisten: {address: \"127.0.0.1:0\"}\n")
	} else {
		get := func(name string) string { return d.get(checkup.StepAddress, name) }
		fmt.Fprintf(b, "public_url: %s\nlisten:\n  address: %s\n", quoted(get("public_url")), quoted(get("listen")))
		for _, name := range []string{"cert", "key"} {
			if get(name) != "" {
				fmt.Fprintf(b, "  %s: %s\n", name, quoted(get(name)))
			}
		}
		if list := listed(get("proxies")); len(list) > 0 {
			fmt.Fprintf(b, "  trusted_proxies: [%s]\n", strings.Join(list, ", "))
		}
	}
	if f.Trial != "" {
		b.WriteString("ops: {address: \"127.0.0.1:0\"}\n")
	}
}

// listed are the entries of a list that was written with commas or spaces.
func listed(value string) []string {
	var list []string
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '，' || r == ';' }) {
		list = append(list, quoted(part))
	}
	return list
}

func (d *draft) writeStore(b *strings.Builder, f form) {
	get := func(name string) string { return d.get(checkup.StepStore, name) }
	switch {
	case f.Trial != "" && f.Only != checkup.StepStore:
		fmt.Fprintf(b, "store: {driver: sqlite, path: %s}\naudit: {dir: %s}\n", quoted(f.Trial+"/kdgate.db"), quoted(f.Trial+"/audit"))
	case get("driver") == "redis":
		fmt.Fprintf(b, "store:\n  driver: redis\n  url: %s\n", quoted(get("redis_url")))
		if get("redis_user") != "" {
			fmt.Fprintf(b, "  username: %s\n", quoted(get("redis_user")))
		}
		if f.Trial == "" && get("redis_password") != "" {
			fmt.Fprintf(b, "  password_file: %s\n", redisFile)
		}
		seal := sealFile
		if f.Trial != "" {
			seal = f.Trial + "/seal.key"
		}
		fmt.Fprintf(b, "seal: {key_file: %s}\n", quoted(seal))
	default:
		fmt.Fprintf(b, "store:\n  driver: %s\n  path: %s\n", quoted(get("driver")), quoted(get("path")))
	}
}

func (d *draft) writeDingTalk(b *strings.Builder, f form) {
	if f.skips(checkup.StepDingTalk) {
		b.WriteString("corps:\n  - {id: dingsetup, app_key: setup}\n")
		return
	}
	get := func(name string) string { return quoted(d.get(checkup.StepDingTalk, name)) }
	fmt.Fprintf(b, "corps:\n  - id: %s\n    app_key: %s\n    agent_id: %s\n", get("corp"), get("app_key"), get("agent_id"))
	if f.Trial == "" {
		fmt.Fprintf(b, "    app_secret_file: %s\n", dingtalkFile)
	}
}

func (d *draft) writeKingdee(b *strings.Builder, f form) {
	if f.skips(checkup.StepKingdee) {
		b.WriteString("data_centres:\n  - {id: live, url: \"https://kingdee.invalid/K3Cloud/\", db_id: setup, app_id: setup, integration_user: setup}\n")
		return
	}
	get := func(name string) string { return d.get(checkup.StepKingdee, name) }
	fmt.Fprintf(b, "data_centres:\n  - id: %s\n    url: %s\n", centreID, quoted(get("url")))
	if get("insecure") != "" {
		b.WriteString("    insecure: true\n")
	}
	for _, name := range []string{"db_id", "app_id", "integration_user"} {
		fmt.Fprintf(b, "    %s: %s\n", name, quoted(get(name)))
	}
	fmt.Fprintf(b, "    lcid: %s\n", quoted(get("lcid")))
	if f.Trial == "" {
		fmt.Fprintf(b, "    app_secret_file: %s\n", kingdeeFile)
	}
	fmt.Fprintf(b, "mapping: {staff_number_from: %s}\n", quoted(get("staff_number_from")))
}

// environ gives the secrets of a draft to the configuration in the way that
// needs no file.
func (d *draft) environ(f form) []string {
	values := map[string]string{
		"CORPS_0_APP_SECRET": d.Values["app_secret"], "DATA_CENTRES_0_APP_SECRET": d.Values["centre_secret"],
	}
	if f.skips(checkup.StepDingTalk) {
		values["CORPS_0_APP_SECRET"] = "of-another-step"
	}
	if f.skips(checkup.StepKingdee) {
		values["DATA_CENTRES_0_APP_SECRET"] = "of-another-step"
	}
	if d.get(checkup.StepStore, "driver") == "redis" && !f.skips(checkup.StepStore) && f.Only != "" {
		values["STORE_PASSWORD"] = d.Values["redis_password"]
	}
	var list []string
	for name, value := range values {
		if value != "" {
			list = append(list, config.EnvPrefix+name+"="+value)
		}
	}
	return list
}
