package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// logged runs the rendered file with its own logs, which go to a file of the test.
func logged(t *testing.T, name string) (*site, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "log")
	s := startWith(t, name, func(config map[string]any, rendered []byte) {
		var from map[string]any
		if err := json.Unmarshal(rendered, &from); err != nil {
			t.Fatal(err)
		}
		for _, log := range from["logging"].(map[string]any)["logs"].(map[string]any) {
			log.(map[string]any)["writer"] = map[string]any{"output": "file", "filename": file, "roll": false}
		}
		config["logging"] = from["logging"]
		for key, server := range from["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any) {
			running := config["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any)
			running[key].(map[string]any)["logs"] = server.(map[string]any)["logs"]
		}
	})
	return s, file
}

func TestTheLogHoldsNoToken(t *testing.T) {
	s, file := logged(t, "static-acme")
	const token = "canary-token-7d1f"
	header := map[string]string{
		"X-Maintenance-Bypass": token, "Authorization": "Bearer " + token, "Cookie": "session=" + token,
		"Referer": "https://shop.example/reset?token=" + token, "User-Agent": "browser/7",
	}
	for _, path := range []string{"/preview?token=", "/api/v1/broken?code=", "/media/missing?key="} {
		s.do(t, request{method: "GET", host: "shop.example", path: path + token, from: "127.0.0.9", header: header})
	}
	s.do(t, request{method: "GET", host: "www.shop.example", path: "/?token=" + token, from: "127.0.0.9", header: header})
	var text string
	for range 100 {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if text = string(raw); strings.Count(text, "handled request") >= 4 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if strings.Count(text, "handled request") < 4 {
		t.Fatalf("the requests are not in the log:\n%s", text)
	}
	if strings.Contains(text, token) {
		t.Errorf("the log holds a token:\n%s", text)
	}
	for _, want := range []string{"/preview?", "/api/v1/broken?", "127.0.0.9", "browser/7", `"status":500`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}
