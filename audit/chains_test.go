package audit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChainsTellWhereEachStands(t *testing.T) { // F42
	c := setup(t)
	first := open(t, c)
	appendMany(t, first, 5)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	c.Replica = "another"
	l := open(t, c)
	appendMany(t, l, 3)
	chains, err := l.Chains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, chain := range chains {
		names = append(names, chain.Replica)
		record, err := l.Record(t.Context(), chain.Replica, chain.Last)
		if err != nil || record.Hash != chain.Head || !record.At.Equal(chain.LastAt) {
			t.Errorf("%+v: its last record is %v %v", chain, record, err)
		}
		if chain.First != 1 || chain.Trimmed != 0 {
			t.Errorf("%+v", chain)
		}
	}
	if !slices.IsSorted(names) || len(names) != 2 {
		t.Errorf("chains %v", names)
	}
	sworn := chains[slices.IndexFunc(chains, func(c Chain) bool { return c.Replica != "another" })]
	if sworn.Sworn != 5 || sworn.SwornAt.IsZero() || sworn.Last != 5 {
		t.Errorf("a chain that was closed ends with a checkpoint: %+v", sworn)
	}
	if _, err := l.Record(t.Context(), "another", 99); !errors.Is(err, ErrNoRecord) {
		t.Errorf("a record that is not there: %v", err)
	}
}

// TestOldFileIsBroughtForward: a file of an older version verifies as it lies, is
// taken up by this program with its chain unbroken, and verifies again (R54, F42).
func TestOldFileIsBroughtForward(t *testing.T) {
	for version := 1; version < schemaVersion; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) { bringForward(t, version) })
	}
}

func bringForward(t *testing.T, version int) {
	c := setup(t)
	l := open(t, c)
	appendMany(t, l, 20)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var back []string
	for _, statement := range third {
		name, _, _ := strings.Cut(strings.TrimPrefix(statement, "CREATE INDEX "), " ")
		back = append(back, "DROP INDEX "+name)
	}
	back = append(append(back, earlier(version)...), fmt.Sprintf("PRAGMA user_version=%d", version))
	tamper(t, c.Dir, back...)
	mustVerify(t, verifyConfig(c))
	old, err := OpenReader(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := old.Search(t.Context(), Query{Reason: "none such", From: time.Unix(0, 0)})
	if err != nil || len(before) != 0 {
		t.Errorf("a search in an older file: %v %v", before, err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, c)
	appendMany(t, l, 5)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if report := mustVerify(t, verifyConfig(c)); report.Records != 25 {
		t.Errorf("%d records after the file was brought forward", report.Records)
	}
	db, err := openAndAsk(context.Background(), dsn(filepath.Join(c.Dir, fileName), "mode=ro"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	indexes, err := texts(t.Context(), db, "SELECT name FROM sqlite_schema WHERE name LIKE 'record_%' AND type = 'index'")
	if err != nil || len(indexes) != len(layout(schemaVersion))-3 { // the others are tables
		t.Errorf("indexes %v %v", indexes, err)
	}
}
