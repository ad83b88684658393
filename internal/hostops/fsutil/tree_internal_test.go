package fsutil

import (
	"os"
	"path/filepath"
	"testing"
)

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil { //nolint:gosec // a test's file
			t.Fatal(err)
		}
	}
	return root
}

func TestTheSameFilesHaveTheSameSum(t *testing.T) {
	files := map[string]string{"b": "2", "a/x": "1"}
	one, _ := MeasureTree(tree(t, files))
	two, _ := MeasureTree(tree(t, files))
	moved, _ := MeasureTree(tree(t, map[string]string{"b": "2", "a/y": "1"}))
	if one != two || one == moved {
		t.Errorf("%+v, %+v, moved %+v", one, two, moved)
	}
}
