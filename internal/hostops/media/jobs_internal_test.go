package media

import (
	"slices"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/prekzursil/momentstudio-infra/internal/hostspec"
)

func TestOnlyJobsThatAreNotInTheQueueAreLost(t *testing.T) {
	got := missing([]string{"waits", "lost", "left"}, []string{"left"}, []string{"waits", "new"})
	if want := []string{"lost", "left"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJobsGoToTheEndOfTheQueueAndAResetEmptiesIt(t *testing.T) {
	server := miniredis.RunT(t)
	j := &Jobs{redis: redis.NewClient(&redis.Options{Addr: server.Addr()})}
	t.Cleanup(func() { _ = j.redis.Close() })
	if err := j.push(t.Context(), []string{"1", "2"}); err != nil {
		t.Fatal(err)
	}
	if got, err := server.List(hostspec.MediaQueue); err != nil || !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("the queue is %q, %v", got, err)
	}
	if err := j.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if server.Exists(hostspec.MediaQueue) {
		t.Error("the queue of another state is still there")
	}
	server.SetError("OOM command not allowed")
	if err := j.push(t.Context(), []string{"3"}); err == nil {
		t.Error("a Redis that refuses is no error")
	}
}
