package config

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"kdgate/identity"
	"kdgate/internal/wholefile"
)

// MinSealKey is the least length of the sealing key in bytes (T123).
const MinSealKey = 32

// resolvePaths makes every path absolute, counting from the configuration's folder.
func resolvePaths(cfg *Config, dir string) {
	paths := []*string{
		&cfg.Listen.Cert, &cfg.Listen.Key, &cfg.Store.Path, &cfg.Store.PasswordFile, &cfg.Store.SentinelPasswordFile,
		&cfg.Store.TLS.CAFile, &cfg.Store.TLS.ClientCert, &cfg.Store.TLS.ClientKey,
		&cfg.Seal.KeyFile, &cfg.Audit.Dir, &cfg.Audit.Anchor.File, &cfg.Audit.Webhook.SecretFile, &cfg.Outbound.CAFile, &cfg.HR.SecretFile, &cfg.HR.OldSecretFile, &cfg.HR.Drop,
	}
	for i := range cfg.Seal.OldKeyFiles {
		paths = append(paths, &cfg.Seal.OldKeyFiles[i])
	}
	for i := range cfg.Corps {
		callback := &cfg.Corps[i].Callback
		for j := range cfg.Corps[i].Yida {
			paths = append(paths, &cfg.Corps[i].Yida[j].SystemTokenFile)
		}
		paths = append(paths, &cfg.Corps[i].AppSecretFile, &callback.TokenFile, &callback.AESKeyFile, &callback.Old.TokenFile, &callback.Old.AESKeyFile)
	}
	for i := range cfg.DataCentres {
		dc := &cfg.DataCentres[i]
		paths = append(paths, &dc.AppSecretFile, &dc.CAFile, &dc.ClientCert, &dc.ClientKey)
	}
	for i := range cfg.Robots {
		paths = append(paths, &cfg.Robots[i].TokenFile, &cfg.Robots[i].SecretFile)
	}
	paths = append(paths, &cfg.Mail.PasswordFile, &cfg.Mail.CAFile)
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

// readSecrets fills each secret from the file that its …_file key names.
func readSecrets(cfg *Config, mistakes *Mistakes) {
	read := func(name string, secret *identity.Secret, path string) {
		if path == "" {
			return
		}
		if !secret.IsZero() {
			mistakes.add("%s: given both by file and by environment; keep one", name)
			return
		}
		text, err := ReadSecretFile(path)
		if err != nil {
			mistakes.add("%s_file: %v", name, err)
			return
		}
		*secret = text
	}
	read("store.password", &cfg.Store.Password, cfg.Store.PasswordFile)
	read("store.sentinel_password", &cfg.Store.SentinelPassword, cfg.Store.SentinelPasswordFile)
	read("hr.secret", &cfg.HR.Secret, cfg.HR.SecretFile)
	read("hr.old_secret", &cfg.HR.OldSecret, cfg.HR.OldSecretFile)
	read("audit.webhook.secret", &cfg.Audit.Webhook.Secret, cfg.Audit.Webhook.SecretFile)
	for i := range cfg.Corps {
		corp := &cfg.Corps[i]
		read(fmt.Sprintf("corps[%d].app_secret", i), &corp.AppSecret, corp.AppSecretFile)
		for j := range corp.Yida {
			read(fmt.Sprintf("corps[%d].yida[%d].system_token", i, j), &corp.Yida[j].SystemToken, corp.Yida[j].SystemTokenFile)
		}
		at, callback := fmt.Sprintf("corps[%d].callback", i), &corp.Callback
		read(at+".token", &callback.Token, callback.TokenFile)
		read(at+".aes_key", &callback.AESKey, callback.AESKeyFile)
		read(at+".old.token", &callback.Old.Token, callback.Old.TokenFile)
		read(at+".old.aes_key", &callback.Old.AESKey, callback.Old.AESKeyFile)
	}
	for i := range cfg.Robots {
		robot, at := &cfg.Robots[i], fmt.Sprintf("robots[%d]", i)
		read(at+".token", &robot.Token, robot.TokenFile)
		read(at+".secret", &robot.Secret, robot.SecretFile)
	}
	read("mail.password", &cfg.Mail.Password, cfg.Mail.PasswordFile)
	for i := range cfg.DataCentres {
		dc := &cfg.DataCentres[i]
		read(fmt.Sprintf("data_centres[%d].app_secret", i), &dc.AppSecret, dc.AppSecretFile)
	}
}

// Secrets are all secrets that are there, by the dotted names of their keys, list
// elements with their index: corps[0].app_secret.
func (c *Config) Secrets() iter.Seq2[string, identity.Secret] {
	return func(yield func(string, identity.Secret) bool) { eachSecret(reflect.ValueOf(*c), "", yield) }
}

func eachSecret(section reflect.Value, prefix string, yield func(string, identity.Secret) bool) bool {
	for field := range fields(section.Type()) {
		name, value := prefix+field.key, section.FieldByIndex(field.Index)
		more := true
		switch {
		case isStructList(field.Type):
			for i := 0; more && i < value.Len(); i++ {
				more = eachSecret(value.Index(i), name+"["+strconv.Itoa(i)+"].", yield)
			}
		case isSection(field.Type):
			more = eachSecret(value, name+".", yield)
		default:
			if secret, ok := value.Interface().(identity.Secret); ok && !secret.IsZero() {
				more = yield(name, secret)
			}
		}
		if !more {
			return false
		}
	}
	return true
}

// ReadSecretFile reads a secret, without the line break that editors leave at
// the end. A file that others may read is refused (T122, T123).
func ReadSecretFile(path string) (identity.Secret, error) {
	text, err := readPrivate(path)
	if err != nil {
		return identity.Secret{}, err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return identity.Secret{}, fmt.Errorf("the file %s is empty", path)
	}
	return identity.NewSecret(secret), nil
}

func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s; write the secret there, mode 0600", path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look at %s: %w", path, errors.Unwrap(err))
	}
	if openToOthers(info) {
		return nil, fmt.Errorf("everybody may read %s; run: chmod 600 %s", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, errors.Unwrap(err))
	}
	return text, nil
}

// SealKeys reads the sealing keys, the signing one first. On the embedded store
// a key is made beside the database on the first run; an existing database
// without its key is an error, because a new key would make every value a fake.
func (c *Config) SealKeys() ([][]byte, error) {
	first, err := c.firstRun()
	if err == nil && first {
		err = makeSealKey(c.sealKeyFile())
	}
	if err != nil {
		return nil, fmt.Errorf("seal key: %w", err)
	}
	var keys [][]byte
	for _, file := range append([]string{c.sealKeyFile()}, c.Seal.OldKeyFiles...) {
		key, err := readSealKey(file)
		if err != nil {
			return nil, fmt.Errorf("seal key: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// sealKeyFile is the signing key's file: beside the embedded database when none is named.
func (c *Config) sealKeyFile() string {
	if c.Seal.KeyFile != "" {
		return c.Seal.KeyFile
	}
	return filepath.Join(filepath.Dir(c.Store.Path), "seal.key")
}

// firstRun reports whether the signing key is still to be made.
func (c *Config) firstRun() (bool, error) {
	if c.Seal.KeyFile != "" || exists(c.sealKeyFile()) {
		return false, nil
	}
	if exists(c.Store.Path) {
		return false, fmt.Errorf("%s is there but its key %s is gone; put the key back from your backup", c.Store.Path, c.sealKeyFile())
	}
	return true, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func readSealKey(file string) ([]byte, error) {
	key, err := readPrivate(file)
	if err == nil && len(key) < MinSealKey {
		err = fmt.Errorf("%s holds %d bytes, at least %d are needed; run: openssl rand -out %s %d",
			file, len(key), MinSealKey, file, MinSealKey)
	}
	return key, err
}

func makeSealKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	key := make([]byte, MinSealKey)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	err := wholefile.Create(path, key)
	if errors.Is(err, fs.ErrExist) { // two first starts at once must not write two keys
		return nil
	}
	return err
}

// SealKeyFile is where the signing key lies, or will lie after the first run.
func (c *Config) SealKeyFile() string { return c.sealKeyFile() }

// SecretFiles are the files that hold secrets of ours, for a look at their age.
func (c *Config) SecretFiles() []string {
	files := []string{c.sealKeyFile(), c.Listen.Key, c.Store.PasswordFile, c.Store.SentinelPasswordFile, c.Store.TLS.ClientKey, c.Audit.Webhook.SecretFile}
	for _, corp := range c.Corps {
		files = append(files, corp.AppSecretFile, corp.Callback.TokenFile, corp.Callback.AESKeyFile)
		for _, app := range corp.Yida {
			files = append(files, app.SystemTokenFile)
		}
	}
	for _, dc := range c.DataCentres {
		files = append(files, dc.AppSecretFile, dc.ClientKey)
	}
	return slices.DeleteFunc(files, func(path string) bool { return path == "" })
}
