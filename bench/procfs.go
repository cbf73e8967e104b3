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
	server   float64 // by the system under test
	load     float64 // by ourselves
	programs float64 // by every program, these two included
	machine  float64 // by everybody, what a hypervisor took from us included
}

func (u usage) since(from usage) usage {
	return usage{u.server - from.server, u.load - from.load, u.programs - from.programs, u.machine - from.machine}
}

// kernel is what no program used: interrupts, and the kernel's threads, whom a sync
// makes work.
func (u usage) kernel() float64 { return max(0, u.machine-u.programs) }

// others is what programs used that have no part in this.
func (u usage) others() float64 { return max(0, u.programs-u.server-u.load) }

// tick is the unit of /proc: USER_HZ, 100 on every Linux that Go runs on.
const tick = 0.01

func usageOf(pids []int) (usage, error) {
	var u usage
	for _, pid := range pids {
		p, err := readStat(strconv.Itoa(pid))
		if err != nil {
			return u, err
		}
		u.server += p.own
	}
	self, err := readStat("self")
	if err != nil {
		return u, err
	}
	u.load = self.own
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return u, err
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue // not a process, or one a second time, as "self" is
		}
		// It may be gone by now.
		if p, err := readStat(e.Name()); err == nil && p.parent != kthreadd {
			u.programs += p.own + p.children
		}
	}
	u.machine, err = machineTime()
	return u, err
}

// kthreadd is the parent of the kernel's threads.
const kthreadd = 2

// stat is what we need of proc_pid_stat(5). The time of a child that ended is among
// its parent's, so that none is lost.
type stat struct {
	parent        int
	own, children float64
}

func readStat(pid string) (stat, error) {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The name, in parentheses, can hold anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 15 {
		return stat{}, fmt.Errorf("/proc/%s/stat has %d fields", pid, len(fields))
	}
	return stat{int(sum(fields[1:2])), sum(fields[11:13]) * tick, sum(fields[13:15]) * tick}, nil
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
