package fsutil

import (
	"testing"

	"github.com/prekzursil/momentstudio-infra/internal/hostops/filetest"
)

func TestTheSameFilesHaveTheSameSum(t *testing.T) {
	files := map[string]string{"b": "2", "a/x": "1"}
	one, _ := MeasureTree(filetest.Tree(t, files))
	two, _ := MeasureTree(filetest.Tree(t, files))
	moved, _ := MeasureTree(filetest.Tree(t, map[string]string{"b": "2", "a/y": "1"}))
	if one != two || one == moved {
		t.Errorf("%+v, %+v, moved %+v", one, two, moved)
	}
}
