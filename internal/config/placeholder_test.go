package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// T123: a sample's word is refused wherever a secret stands, whoever reads that secret.
func TestNoSecretIsAPlaceholder(t *testing.T) {
	var cfg Config
	fill(reflect.ValueOf(&cfg).Elem(), "changeme")
	secrets := 0
	for _, value := range cfg.InForce() {
		if value.Secret {
			secrets++
		}
	}
	var found Mistakes
	cfg.check(&found)
	told := strings.Count(strings.Join(found, "\n"), ": still holds a placeholder")
	if told != secrets || secrets < 10 {
		t.Errorf("%d of %d are told", told, secrets)
	}
	for _, name := range []string{"store.password", "mail.password", "robots[1].token", "corps[0].callback.old.aes_key"} {
		if !strings.Contains(found.Error(), name+": still holds a placeholder") {
			t.Errorf("%s may be a placeholder", name)
		}
	}
}

// T123: which words are taken for placeholders; a real secret is none, however
// it looks.
func TestPlaceholders(t *testing.T) {
	for word, want := range map[string]bool{
		"changeme": true, "CHANGE_ME": true, "change-me-please": true, "changeit": true, " changeme ": true, "REPLACE_ME": true, "replace-with-real": true,
		"placeholder": true, "your-secret-here": true, "insert-secret-here": true, "<secret>": true, "***": true, "xxxxxx": true, "${APP_SECRET}": true,
		"TODO": true, "dummy": true, "secret": true, "password": true, "...": true,
		"s3cr3t-of-ding": false, "exchange.metal": false, "0123456789abcdef": false, "xx-1": false, "secretly-fine": false, "a<b>c": false,
	} {
		if got := placeholders().MatchString(word); got != want {
			t.Errorf("%q is a placeholder: %v", word, got)
		}
		dir := install(t, "")
		if err := os.WriteFile(filepath.Join(dir, "kd.secret"), []byte(word+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := load(t, dir)
		if refused := err != nil && strings.Contains(err.Error(), "data_centres[0].app_secret: still holds a placeholder"); refused != want {
			t.Errorf("%q: %v", word, err)
		}
	}
}

// T124: a key that is there twice in different letter case is a mistake: which of
// the two would count is left to chance.
func TestKeysTwice(t *testing.T) {
	for text, want := range map[string]string{
		"sessions: {idle: 10m, Idle: 5m}\n":                                     "sessions.idle: there twice",
		"Sessions: {idle: 10m}\nsessions: {idle: 5m}\n":                         "sessions: there twice",
		"robots: [{name: ops, token_file: kd.secret, Token_File: ding.secret}]": "robots[0].token_file: there twice",
	} {
		_, err := load(t, install(t, text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := load(t, install(t, "Sessions: {Idle: 10m}\n")); err != nil {
		t.Errorf("letter case alone is no mistake: %v", err)
	}
}
