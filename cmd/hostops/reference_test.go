package main

import (
	"flag"
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/clidoc"
)

var update = flag.Bool("update", false, "rewrite the reference")

func TestReferenceIsCurrent(t *testing.T) {
	page, err := clidoc.Markdown(command(), reference())
	if err != nil {
		t.Fatal(err)
	}
	if err := clidoc.Compare("../../docs/reference/hostops.md", page, *update); err != nil {
		t.Error(err)
	}
}
