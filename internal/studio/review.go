package studio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/prekzursil/momentstudio-infra/internal/engine"
	"github.com/prekzursil/momentstudio-infra/internal/review"
)

// ReviewOptions say how a stack is reviewed.
type ReviewOptions struct {
	Preview string // file with the output of `pulumi preview --json`; default: it is run
	// Placeholders says that the preview was made with placeholders instead of secrets, or makes it so: without Preview
	// and a config file, with an empty state of its own.
	Placeholders bool
	Approvals    string // directory of approvals, relative to the project's root
	Reviewed     string // a report of before (JSON), which this one may not exceed
	Markdown     string // file to write the comment to
	JSON         string // file to write the report to
}

// ReviewError is a review that does not pass, with the exit code of its cause.
type ReviewError struct {
	Code int
	err  error
}

func (e ReviewError) Error() string { return e.err.Error() }

func (e ReviewError) Unwrap() error { return e.err }

// Review previews the stack, judges the plan, and fails when it holds what nobody approved.
func Review(ctx context.Context, c engine.Stack, o ReviewOptions, now time.Time) error {
	if o.Placeholders && o.Preview == "" && c.ConfigFile == "" {
		dir, err := os.MkdirTemp("", "review-*")
		if err != nil {
			return fmt.Errorf("make a place for an empty stack: %w", err)
		}
		defer os.RemoveAll(dir)
		if c, err = c.WithoutSecrets(ctx, dir); err != nil {
			return err
		}
	}
	preview, err := previewJSON(ctx, c, o)
	if err != nil {
		return err
	}
	wanted, err := c.Config()
	if err != nil {
		return err
	}
	file, err := os.ReadFile(c.File())
	if err != nil {
		return fmt.Errorf("read the stack's file: %w", err)
	}
	sum := sha256.Sum256(file)
	approvals, err := review.ReadApprovals(filepath.Join(c.Root, o.Approvals), now)
	if err != nil {
		return err
	}
	report, err := review.New(preview, review.Subject{
		Stack: c.Name, Commit: commit(ctx, c), ConfigHash: hex.EncodeToString(sum[:16]), Protect: wanted.Protect,
		Placeholders: o.Placeholders, Approvals: approvals, Now: now,
	})
	if err != nil {
		return err
	}
	fmt.Fprint(c.Out, report.Text())
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	for path, content := range map[string][]byte{o.Markdown: []byte(report.Markdown()), o.JSON: append(text, '\n')} {
		if path == "" {
			continue
		}
		if err := os.WriteFile(path, content, 0o644); err != nil { //nolint:gosec // a report is public
			return fmt.Errorf("write the report: %w", err)
		}
	}
	if o.Reviewed != "" {
		if err := compareWith(o.Reviewed, report); err != nil {
			return err
		}
	}
	if code := report.Code(); code != review.CodePass {
		return ReviewError{code, errors.New(report.Verdict())}
	}
	return nil
}

func compareWith(path string, now review.Report) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the reviewed report: %w", err)
	}
	var reviewed review.Report
	if err := json.Unmarshal(text, &reviewed); err != nil {
		return fmt.Errorf("read the reviewed report: %s is not one of `studio review --json`", path)
	}
	if err := review.Compare(reviewed, now); err != nil {
		return ReviewError{review.CodeRiskier, err}
	}
	return nil
}

// previewJSON runs the preview, or reads the output of one.
func previewJSON(ctx context.Context, c engine.Stack, o ReviewOptions) ([]byte, error) {
	if o.Preview != "" {
		text, err := os.ReadFile(o.Preview)
		if err != nil {
			return nil, fmt.Errorf("read the preview: %w", err)
		}
		return text, nil
	}
	// Without these, the plan does not tell of locks that are lifted, of generations that are there, and of what an
	// interrupted replacement left to be deleted.
	cmd := c.Command(ctx, "preview", "--json", "--show-sames", "--show-replacement-steps")
	cmd.Env = append(withTokens(cmd.Env), "PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true", "NO_COLOR=1")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := c.Exec(cmd); err != nil {
		return nil, fmt.Errorf("pulumi preview: %w\n%s", err, strings.Join(append(review.Errors(out.Bytes()),
			strings.TrimSpace(errOut.String())), "\n"))
	}
	return out.Bytes(), nil
}

// withTokens fills in cloud tokens that are missing: the providers want some, and a preview asks no cloud.
func withTokens(env []string) []string {
	for name, length := range map[string]int{"HCLOUD_TOKEN": 64, "CLOUDFLARE_API_TOKEN": 40} {
		if os.Getenv(name) == "" {
			env = append(env, name+"="+strings.Repeat("0", length))
		}
	}
	return env
}

// commit is the program's, marked when files differ from it; empty outside git.
func commit(ctx context.Context, c engine.Stack) string {
	git := func(args ...string) string {
		cmd := exec.CommandContext(ctx, "git", args...) //nolint:gosec // our own arguments
		cmd.Dir = c.Root
		out, err := cmd.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	head := git("rev-parse", "HEAD")
	if head != "" && git("status", "--porcelain", "--untracked-files=no") != "" {
		head += "-changed"
	}
	return head
}
