package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// forbidden are calls that belong to cmd, or to nobody.
var forbidden = map[string]string{
	"os.Exit":      "only cmd exits",
	"log.Fatal":    "only cmd exits",
	"log.Fatalf":   "only cmd exits",
	"os.Getenv":    "only cmd reads the environment",
	"os.LookupEnv": "only cmd reads the environment",
	"os.Environ":   "only cmd reads the environment",
	"panic":        "an error is returned",
	"time.Sleep":   "wait for an event or a clock that can be moved",
}

// TestHabits reads every file: no exit, environment, panic, sleep or init below cmd,
// no context kept in a struct, and no sleeping test.
func TestHabits(t *testing.T) {
	files := token.NewFileSet()
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." && path != "../.." {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		checkFile(t, files, file, filepath.ToSlash(strings.TrimPrefix(path, "../../")))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkFile(t *testing.T, files *token.FileSet, file *ast.File, path string) {
	t.Helper()
	isTest := strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "store/storetest/") || strings.HasPrefix(path, "bench/")
	inCmd := strings.HasPrefix(path, "cmd/")
	inBubble := slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CallExpr:
			name := callName(n)
			why, bad := forbidden[name]
			switch {
			case isTest && name != "time.Sleep": // a test may exit and read its surroundings
				bad = false
			case isTest && inBubble: // sleeping there only moves the bubble's clock
				bad = false
			case name == "panic" && len(n.Args) == 1 && exprName(n.Args[0]) == "http.ErrAbortHandler":
				bad = false // net/http's own word for "end this connection"
			}
			if bad && (!inCmd || name == "time.Sleep") {
				t.Errorf("%s: %s: %s", files.Position(n.Pos()), name, why)
			}
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s: init: what happens at start stands in a function that is called", files.Position(n.Pos()))
			}
		case *ast.StructType:
			if !isTest {
				checkNoContext(t, files, n)
			}
		}
		return true
	})
}

func checkNoContext(t *testing.T, files *token.FileSet, structure *ast.StructType) {
	t.Helper()
	if slices.ContainsFunc(structure.Fields.List, func(f *ast.Field) bool { return exprName(f.Type) == "context.Context" }) {
		t.Errorf("%s: a context is passed, not kept", files.Position(structure.Pos()))
	}
}

func callName(call *ast.CallExpr) string { return exprName(call.Fun) }

func exprName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if base, ok := e.X.(*ast.Ident); ok {
			return base.Name + "." + e.Sel.Name
		}
	}
	return ""
}
