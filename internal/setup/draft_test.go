package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kdgate/internal/checkup"
	"kdgate/internal/config"
)

// whole is a draft in which everything was entered.
func whole() *draft {
	return &draft{Values: map[string]string{
		"public_url": "https://gate.example.com", "listen": "127.0.0.1:8443", "proxies": "10.0.0.5, 10.0.1.0/24",
		"corp": "dingcorp1", "app_key": "key", "app_secret": "a-secret-of-dingtalk", "agent_id": "1001",
		"url": "https://erp.example.com/K3Cloud/", "db_id": "61cd78fbc6aa78", "app_id": "1_x", "centre_secret": "a-secret-of-kingdee",
		"integration_user": "kdgate",
	}, Entered: []checkup.Step{checkup.StepAddress, checkup.StepStore, checkup.StepDingTalk, checkup.StepKingdee}, Admin: "manager01"}
}

func newWizard(t *testing.T, dir string, d *draft) *Wizard {
	t.Helper()
	w, err := New(Config{Path: filepath.Join(dir, "kdgate.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	w.draft = d
	return w
}

// F32, T122: what is written is a configuration that serve takes, in which no
// secret stands; the secrets are files for their owner alone.
func TestWritesWhatServeReads(t *testing.T) {
	for name, change := range map[string]map[string]string{
		"embedded": {},
		"redis":    {"driver": "redis", "redis_url": "redis://127.0.0.1:6379/0", "redis_user": "kdgate", "redis_password": "a-secret-of-redis"},
		"no proxy": {"public_url": "http://localhost:8080", "proxies": ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, d := t.TempDir(), whole()
			for key, value := range change {
				d.Values[key] = value
			}
			w := newWizard(t, dir, d)
			if err := w.write(d); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(filepath.Join(dir, "kdgate.yaml"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Corps[0].AppSecret.Reveal() != "a-secret-of-dingtalk" || cfg.DataCentres[0].AppSecret.Reveal() != "a-secret-of-kingdee" ||
				cfg.Admins[0].UserID != "manager01" || cfg.Store.Password.Reveal() != d.Values["redis_password"] {
				t.Errorf("%+v", cfg)
			}
			text, err := os.ReadFile(filepath.Join(dir, "kdgate.yaml"))
			if err != nil || strings.Contains(string(text), "a-secret") {
				t.Errorf("%v %s", err, text)
			}
		})
	}
}

// Nothing is written over, and what was begun is taken back.
func TestNeverWritesOver(t *testing.T) {
	for _, there := range []string{"dingtalk.secret", "kingdee.secret", "kdgate.yaml"} {
		dir, d := t.TempDir(), whole()
		w := newWizard(t, dir, d)
		if err := os.WriteFile(filepath.Join(dir, there), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.write(d); err == nil {
			t.Errorf("%s: written over", there)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 {
			t.Errorf("%s: left %v %v", there, left, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, there)); err != nil || string(text) != "mine" {
			t.Errorf("%s: %q %v", there, text, err)
		}
	}
}

// The draft outlives the command, is its owner's alone, and a secret left empty
// stays as it is.
func TestDraftIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kdgate.yaml.setup")
	d := whole()
	d.enter(checkup.StepDingTalk, map[string]string{"corp": " dingcorp2 ", "app_key": "key2", "app_secret": "", "agent_id": "7"})
	if err := d.save(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	back, err := loadDraft(path)
	if err != nil || back.Values["corp"] != "dingcorp2" || back.Values["app_secret"] != "a-secret-of-dingtalk" || back.has(checkup.StepDingTalk) || !back.has(checkup.StepStore) {
		t.Errorf("%+v %v", back, err)
	}
	if err := os.WriteFile(path, []byte(`{"values":{"corp":"a","corp":"b"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadDraft(path); err == nil {
		t.Error("a draft with a name twice is read")
	}
}

// Secrets are never shown again (T108), and a mistake stands at its field.
func TestShownFields(t *testing.T) {
	w := newWizard(t, t.TempDir(), whole())
	hidden := 0
	for _, step := range checkup.Steps() {
		shown, _ := w.shownFields(step, nil)
		for _, f := range shown {
			if strings.HasPrefix(f.Value, "a-secret") {
				t.Errorf("%s: %+v", step, f)
			}
			if f.Kept {
				hidden++
			}
		}
	}
	if hidden != 2 {
		t.Errorf("%d secrets are told to be there", hidden)
	}
	shown, rest := w.shownFields(checkup.StepDingTalk, config.Mistakes{"corps[0].app_secret_file: missing; x", "corps[0].app_key: y", "corps: z"})
	if shown[2].Mistake != (mistake{"missing", "missing; x"}) || shown[1].Mistake != (mistake{"", "y"}) || len(rest) != 1 || rest[0] != (mistake{"", "corps: z"}) {
		t.Errorf("%+v %q", shown, rest)
	}
}

// FuzzYAML: whatever is entered, it stays the value of its key: no other key of
// the configuration changes by it.
func FuzzYAML(f *testing.F) {
	f.Add("x")
	f.Add("a\"\nadmins: [{corp: x}]")
	f.Add("}, {id: y")
	f.Add("\u2028# : |")
	f.Fuzz(func(t *testing.T, value string) {
		d := whole()
		d.Values["integration_user"] = value
		cfg, err := config.Parse([]byte(d.yaml(form{Trial: "/nowhere"})), t.TempDir(), d.environ(form{Trial: "/nowhere"}))
		if err != nil {
			return // refused is fine
		}
		if len(cfg.Admins) != 1 || len(cfg.DataCentres) != 1 || len(cfg.Corps) != 1 || cfg.DataCentres[0].DBID != "61cd78fbc6aa78" {
			t.Errorf("%q changed another key: %+v", value, cfg)
		}
	})
}
