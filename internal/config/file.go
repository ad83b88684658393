package config

import (
	"encoding/json"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
)

// FromFile reads the plain values of a stack file, for tools that work on it without the engine.
// Encrypted values are left out. The Source is one of a preview.
func FromFile(path, stack string) (Source, error) {
	src := Source{Project: Namespace, Stack: stack, DryRun: true, Values: map[string]string{}}
	text, err := os.ReadFile(path)
	if err != nil {
		return src, fmt.Errorf("read the stack's file: %w", err)
	}
	var file struct {
		Config map[string]any `yaml:"config"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		// The parser's message may quote the file, which may hold a secret set in plain.
		return src, fmt.Errorf("read the stack's file %s: it is not the YAML of a stack", path)
	}
	for key, value := range file.Config {
		switch v := value.(type) {
		case string:
			src.Values[key] = v
		case map[string]any:
			if _, encrypted := v["secure"]; encrypted && len(v) == 1 {
				src.Encrypted = append(src.Encrypted, key)
				continue
			}
			if err := src.setJSON(key, v); err != nil {
				return src, err
			}
		default:
			if err := src.setJSON(key, v); err != nil {
				return src, err
			}
		}
	}
	return src, nil
}

func (s Source) setJSON(key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("read the stack's file: %s: %w", key, err)
	}
	s.Values[key] = string(text)
	return nil
}

// MissingSecrets lists the secret keys that the values ask for and do not have; meaningful also when
// Load found problems.
func (c Config) MissingSecrets() []string { return c.missing }
