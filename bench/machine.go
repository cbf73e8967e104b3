package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// machine is where it was measured.
type machine struct {
	Date     string `json:"date"`
	Cores    int    `json:"cores"`
	CPU      string `json:"cpu"`
	Memory   string `json:"memory"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Revision string `json:"revision"`
}

func describeMachine(ctx context.Context) machine {
	return machine{
		Date:     time.Now().UTC().Format("2006-01-02 15:04 MST"),
		Cores:    runtime.NumCPU(),
		CPU:      lineOf("/proc/cpuinfo", "model name"),
		Memory:   lineOf("/proc/meminfo", "MemTotal"),
		Kernel:   lineOf("/proc/sys/kernel/osrelease", ""),
		Go:       runtime.Version(),
		Revision: revision(ctx),
	}
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores (%s), memory %s, Linux %s, %s, revision %s", m.Date, m.Cores, m.CPU, m.Memory, m.Kernel, m.Go, m.Revision)
}

// lineOf is what follows "name:" in a file of /proc.
func lineOf(file, name string) string {
	data, _ := os.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		if rest, found := strings.CutPrefix(line, name); found {
			return strings.Trim(rest, " :\t\n")
		}
	}
	return "unknown"
}

func revision(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// diskWrites is how often the disk is asked how long it takes.
const diskWrites = 200

// measureDisk appends 4 KiB to a file and syncs it, as a store does that promises
// durability, and returns how long that took each time, shortest first.
func measureDisk(dir string) ([]time.Duration, error) {
	file, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, 4<<10)
	var took []time.Duration
	for range diskWrites {
		start := time.Now()
		if _, err := file.Write(block); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took, nil
}
