package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// usage is CPU time used so far, in seconds.
type usage struct {
	server  float64 // by the system under test
	load    float64 // by ourselves
	machine float64 // by everybody, what a hypervisor took from us included
}

// tick is the unit of /proc: USER_HZ, 100 on every Linux that Go runs on.
const tick = 0.01

func usageOf(pids []int) (usage, error) {
	var u usage
	for _, pid := range pids {
		t, err := processTime(pid)
		if err != nil {
			return u, err
		}
		u.server += t
	}
	var err error
	if u.load, err = processTime(os.Getpid()); err != nil {
		return u, err
	}
	u.machine, err = machineTime()
	return u, err
}

// processTime is utime and stime of proc_pid_stat(5), which follow the name in
// parentheses.
func processTime(pid int) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	return sum(fields[11:13]) * tick, nil
}

// machineTime is all of the first line of proc_stat(5) but idle and iowait; guest
// time is in user time already.
func machineTime() (float64, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	fields := strings.Fields(line)
	return (sum(fields[1:4]) + sum(fields[6:9])) * tick, nil
}

func sum(fields []string) float64 {
	total := 0.0
	for _, f := range fields {
		v, _ := strconv.ParseFloat(f, 64) // the kernel writes numbers
		total += v
	}
	return total
}

// resident is the memory of processes that is in RAM, in MiB.
func resident(pids []int) (float64, error) {
	total := 0.0
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		_, line, _ := strings.Cut(string(data), "VmRSS:")
		line, _, _ = strings.Cut(line, "kB")
		total += sum([]string{strings.TrimSpace(line)}) / 1024
	}
	return total, nil
}

// peak watches the memory of processes and keeps the largest it sees.
type peak struct {
	stop    chan struct{}
	running sync.WaitGroup
	mib     float64
	err     error
}

func watchPeak(pids []int) *peak {
	p := &peak{stop: make(chan struct{})}
	p.running.Go(func() {
		for {
			v, err := resident(pids)
			p.mib = max(p.mib, v)
			if err != nil {
				p.err = err
				return
			}
			select {
			case <-p.stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return p
}

func (p *peak) end() (figures, error) {
	close(p.stop)
	p.running.Wait()
	return figures{memory.name: p.mib}, p.err
}
