package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kdgate/store/storetest"
)

// secretFiles are the contents of the secret files that the demo wrote.
func secretFiles(t *testing.T, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.secret"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no secret files: %v", err)
	}
	var secrets []string
	for _, name := range names {
		secrets = append(secrets, strings.TrimSpace(string(must(os.ReadFile(name)))))
	}
	return secrets
}

// filesWith are the files below folder that hold text, but for the secret files themselves.
func filesWith(t *testing.T, folder, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) == ".secret" {
			return err
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// storeArgs chooses the store: the embedded one, or a redis-server of the test's own.
func storeArgs(t *testing.T, driver string) []string {
	t.Helper()
	if driver == "sqlite" {
		return nil
	}
	return []string{"--redis", storetest.StartRedis(t).URL()}
}
