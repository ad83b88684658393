package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserPages are the pages that every visitor meets, and one that does not exist.
var browserPages = []struct{ name, path string }{
	{"home", "/"},
	{"shop", "/shop"},
	{"login", "/login"},
	{"register", "/register"},
	{"contact", "/contact"},
	{"missing", "/no-such-page"},
}

// screens are a desktop and a phone, in CSS pixels.
var screens = []struct {
	name          string
	width, height int64
	phone         bool
}{{"desktop", 1280, 800, false}, {"phone", 390, 844, true}}

// browse opens the pages in a real browser. It fails on what a browser reports: an error on the console, a violation of
// the Content-Security-Policy, a file that does not load, a manifest or a service worker that it does not accept.
func browse(t *testing.T, w *env) {
	ctx, console := openBrowser(t, w.s.CAFile(), w.address())
	pictures := t.ArtifactDir()
	for _, screen := range screens {
		for _, p := range browserPages {
			t.Run(p.name+" on a "+screen.name, func(t *testing.T) {
				console.forget()
				var picture []byte
				var started bool
				err := chromedp.Run(ctx,
					emulation.SetDeviceMetricsOverride(screen.width, screen.height, 1, screen.phone),
					chromedp.Navigate("https://momentstudio.test"+p.path),
					chromedp.WaitVisible("app-root"),
					// Scripts of the page: the one in its text, the one of the theme, the bundle.
					chromedp.Poll(`document.documentElement.lang !== "" && window.__APP_CONFIG__ !== undefined &&
						document.querySelector("app-root").textContent !== ""`, &started),
					chromedp.FullScreenshot(&picture, 100),
				)
				if err != nil {
					t.Fatalf("%v\nthe browser says %q", err, console.all())
				}
				for _, line := range console.all() {
					t.Error(line)
				}
				file := filepath.Join(pictures, p.name+"-"+screen.name+".png")
				if err := os.WriteFile(file, picture, 0o600); err != nil {
					t.Error(err)
				}
			})
		}
	}
	installable(ctx, t)
	for _, line := range console.all() {
		t.Error(line)
	}
	console.forget()
	if err := chromedp.Run(ctx, chromedp.Evaluate(`document.head.append(Object.assign(document.createElement("script"),
		{textContent: "window.injected = true"})); window.injected`, nil)); err != nil {
		t.Fatal(err)
	}
	if said := strings.Join(console.all(), "\n"); !strings.Contains(said, "Content Security Policy") {
		t.Errorf("a script that the policy does not allow is not reported: %q", said)
	}
}

// installable checks what a browser needs to install the shop.
func installable(ctx context.Context, t *testing.T) {
	var manifest string
	var complaints []*page.AppManifestError
	var worker string
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx,
		chromedp.ActionFunc(func(ctx context.Context) (err error) {
			_, complaints, manifest, _, err = page.GetAppManifest().Do(ctx)
			return err
		}),
		chromedp.Evaluate(`navigator.serviceWorker.register("/ngsw-worker.js")
			.then(() => navigator.serviceWorker.ready).then(r => r.active.scriptURL)`, &worker, awaited),
	); err != nil {
		t.Fatalf("%v", err)
	}
	for _, c := range complaints {
		t.Errorf("the browser refuses the manifest: %s", c.Message)
	}
	if !json.Valid([]byte(manifest)) {
		t.Errorf("the manifest is %q", manifest)
	}
	if worker != "https://momentstudio.test/ngsw-worker.js" {
		t.Errorf("the service worker is %q", worker)
	}
}

func awaited(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }

// openBrowser starts a browser that trusts the sandbox's certificates and reaches the shop and nothing else. It ends
// with the test, or after three minutes.
func openBrowser(t *testing.T, roots, address string) (context.Context, *console) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	t.Cleanup(cancel)
	home := t.TempDir()
	trust(ctx, t, filepath.Join(home, ".pki/nssdb"), roots)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // its own sandbox refuses to run as root
		chromedp.Env("HOME="+home),
		chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Flag("host-resolver-rules", "MAP momentstudio.test "+address+", MAP * ~NOTFOUND"),
	)
	allocated, stop := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	tab, _ := chromedp.NewContext(allocated)
	t.Cleanup(func() {
		if err := chromedp.Cancel(tab); err != nil {
			t.Errorf("end the browser: %v", err)
		}
	})
	c := &console{}
	chromedp.ListenTarget(tab, c.hear)
	if err := chromedp.Run(tab, log.Enable(), network.Enable(), page.Enable()); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return tab, c
}

// trust makes the certificates in a file authorities of the browser whose database lies in dir.
func trust(ctx context.Context, t *testing.T, dir, roots string) {
	text, err := os.ReadFile(roots)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	certutil := func(input []byte, args ...string) {
		cmd := exec.CommandContext(ctx, "certutil", append(args, "-d", "sql:"+dir)...)
		cmd.Stdin = bytes.NewReader(input)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("certutil %s: %v\n%s", args[0], err, out)
		}
	}
	certutil(nil, "-N", "--empty-password")
	for n := 1; ; n++ {
		block, rest := pem.Decode(text)
		if block == nil {
			return
		}
		certutil(pem.EncodeToMemory(block), "-A", "-n", fmt.Sprint("sandbox ", n), "-t", "C,,")
		text = rest
	}
}

// console collects what a browser complains about.
type console struct {
	mu    sync.Mutex
	lines []string
}

func (c *console) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			text := make([]string, 0, len(e.Args))
			for _, a := range e.Args {
				text = append(text, string(a.Value))
			}
			c.add("console: %s", strings.Join(text, " "))
		}
	case *runtime.EventExceptionThrown:
		c.add("exception: %s", e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			c.add("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			c.add("%d: %s", e.Response.Status, e.Response.URL)
		}
	case *network.EventLoadingFailed:
		if !e.Canceled {
			c.add("a file of type %s does not load: %s %s", e.Type, e.ErrorText, e.BlockedReason)
		}
	}
}

func (c *console) add(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

func (c *console) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.lines...)
}

func (c *console) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = nil
}
