package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// settings are the flags that the environment and the configuration file set. A
// flag on the command line comes before both: then kong does not ask.
type settings struct {
	env  map[string]string
	file map[string]any
	path string
}

const (
	envPrefix   = "MILLRACE_"
	defaultFile = "millrace.yaml"
)

func loadSettings(args, env []string) (*settings, error) {
	s := &settings{env: map[string]string{}}
	for _, pair := range env {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, envPrefix) {
			s.env[name] = value
		}
	}
	path, asked := s.configPath(args)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !asked {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if err := yaml.Unmarshal(data, &s.file); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	s.path = path
	return s, nil
}

// configPath finds the file's name before the flags are parsed, since parsing
// needs what is in it.
func (s *settings) configPath(args []string) (path string, asked bool) {
	for i, a := range args {
		if value, ok := strings.CutPrefix(a, "--config="); ok {
			return value, true
		}
		if a == "--config" && i+1 < len(args) {
			return args[i+1], true
		}
	}
	if value := s.env[envPrefix+"CONFIG"]; value != "" {
		return value, true
	}
	return defaultFile, false
}

// Validate refuses a file with a key that no flag has: a setting that is silently
// not taken is worse than an error.
func (s *settings) Validate(app *kong.Application) error {
	known := flagNames(app.Node)
	for key := range s.file {
		if key != schedulesKey && !slices.Contains(known, key) {
			return fmt.Errorf("configuration %s: there is no setting %q; the settings are %s, and %s", s.path, key, strings.Join(known, ", "), schedulesKey)
		}
	}
	return nil
}

// declaration is what the file says of schedules.
func (s *settings) declaration() declaration { return declaration{s.path, s.file[schedulesKey]} }

func flagNames(node *kong.Node) []string {
	var names []string
	for _, f := range node.Flags {
		if f.Name != "help" && f.Name != "config" {
			names = append(names, f.Name)
		}
	}
	for _, child := range node.Children {
		names = append(names, flagNames(child)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Resolve returns what the environment says of a flag, else what the file does.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	name := envPrefix + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
	// An empty variable is one that is not set, as Compose passes it on.
	if value := s.env[name]; value != "" {
		return value, nil
	}
	return text(s.file[flag.Name]), nil
}

// text spells a YAML value as a flag would: kong parses "8080", not 8080.
func text(value any) any {
	switch v := value.(type) {
	case nil, bool, string:
		return v
	case []any:
		out := make([]string, len(v))
		for i, x := range v {
			out[i] = fmt.Sprint(x)
		}
		return strings.Join(out, ",")
	}
	return fmt.Sprint(value)
}
