package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// report is everything that was measured.
type report struct {
	Machine  machine           `json:"machine"`
	Versions map[string]string `json:"versions"` // by configuration
	Rounds   int               `json:"rounds"`
	Quick    bool              `json:"quick,omitempty"`
	Took     string            `json:"took"`
	Skipped  []string          `json:"skipped,omitempty"`
	Results  []*result         `json:"results"`
	// DiskP50 is how long a write of 4 KiB and its sync take, by round.
	DiskP50 spread `json:"disk_sync_p50_ms"`
	DiskP99 spread `json:"disk_sync_p99_ms"`

	configs      []config
	measurements []measurement
	disk         [][]time.Duration
}

// result is a cell of the table: a row's figures of one configuration.
type result struct {
	Row     string            `json:"row"`
	Config  string            `json:"config"`
	Figures map[string]spread `json:"figures,omitempty"`
	Bars    []verdict         `json:"bars,omitempty"`
	// Invalid is why runs were worth nothing. With any, the others count for
	// nothing either.
	Invalid []string `json:"invalid,omitempty"`

	values map[string][]float64
}

// verdict is a bar and whether it is met.
type verdict struct {
	Bar string `json:"bar"`
	Met bool   `json:"met"`
}

// add takes the figures of one run, or why there are none.
func (r *report) add(row, config string, found figures, err error) {
	c := r.result(row, config)
	if c == nil {
		c = &result{Row: row, Config: config, values: map[string][]float64{}}
		r.Results = append(r.Results, c)
	}
	if err != nil {
		c.Invalid = append(c.Invalid, err.Error())
		return
	}
	for name, v := range found {
		c.values[name] = append(c.values[name], v)
	}
}

func (r *report) result(row, config string) *result {
	i := slices.IndexFunc(r.Results, func(c *result) bool { return c.Row == row && c.Config == config })
	if i < 0 {
		return nil
	}
	return r.Results[i]
}

// conclude turns the runs into medians and verdicts.
func (r *report) conclude() {
	for _, c := range r.Results {
		c.Figures = map[string]spread{}
		for name, values := range c.values {
			c.Figures[name] = spreadOf(values)
		}
	}
	for _, m := range r.measurements {
		for _, row := range m.rows {
			for _, c := range r.configs {
				if cell := r.result(row.name, c.name); cell != nil {
					cell.judge(row.bars[c.name])
				}
			}
		}
	}
	r.DiskP50, r.DiskP99 = r.diskAt(0.50), r.diskAt(0.99)
}

func (c *result) judge(bars []bar) {
	for _, b := range bars {
		s, measured := c.Figures[b.figure.name]
		c.Bars = append(c.Bars, verdict{b.String(), measured && len(c.Invalid) == 0 && b.met(s)})
	}
}

func (r *report) diskAt(q float64) spread {
	var values []float64
	for _, took := range r.disk {
		values = append(values, inMilliseconds(took[int(q*float64(len(took)))]))
	}
	return spreadOf(values)
}

// invalid is an error if any run was worth nothing. A bar that is not met is none:
// it is for people to judge.
func (r *report) invalid() error {
	n := 0
	for _, c := range r.Results {
		n += len(c.Invalid)
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d runs are invalid", n)
}

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
