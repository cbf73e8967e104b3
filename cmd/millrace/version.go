package main

import (
	"fmt"
	"runtime/debug"
)

type versionCmd struct{}

// Run shows what this binary was built from.
func (c *versionCmd) Run(io stdio) error {
	info, _ := debug.ReadBuildInfo()
	fmt.Fprintf(io.out, "millrace %s (%s)\n", version(), info.GoVersion)
	return nil
}

// version is the module's version, else the commit, else "dev".
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "dev"
}
