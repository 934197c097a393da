package lazyregexp_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kdgate/internal/lazyregexp"
)

// Nothing but this test would find a mistaken pattern before somebody needs it.
func TestEveryPatternOfTheProgramCompiles(t *testing.T) {
	root := filepath.Join("..", "..")
	found := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for _, call := range calls(t, path) {
			found++
			check(t, path, call)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("only %d calls of New were found; is this test still looking for the right thing?", found)
	}
}

// calls are the calls of lazyregexp.New in one file.
func calls(t *testing.T, path string) []*ast.CallExpr {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var list []*ast.CallExpr
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		callee, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || callee.Sel.Name != "New" {
			return true
		}
		if name, ok := callee.X.(*ast.Ident); ok && name.Name == "lazyregexp" {
			list = append(list, call)
		}
		return true
	})
	return list
}

func check(t *testing.T, path string, call *ast.CallExpr) {
	t.Helper()
	text, ok := call.Args[0].(*ast.BasicLit)
	if !ok {
		t.Errorf("%s: a pattern of lazyregexp is not written out where it is made", path)
		return
	}
	pattern, err := strconv.Unquote(text.Value)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := regexp.Compile(pattern); err != nil {
		t.Errorf("%s: %v", path, err)
	}
}

func TestCompiledOnce(t *testing.T) {
	pattern := lazyregexp.New(`^[a-z]{1,3}$`)
	if !pattern().MatchString("abc") || pattern().MatchString("abcd") {
		t.Error("does not match as it should")
	}
	if first, second := pattern(), pattern(); first != second {
		t.Error("compiled twice")
	}
}
