package main

import (
	"sync/atomic"
	"time"
)

// Step is one rate that was tried.
type Step struct {
	Rate     float64 `json:"rate"`
	Achieved float64 `json:"achieved"`
	Answered float64 `json:"answered"`
	Lateness float64 `json:"lateness_p99_seconds"`
	Good     bool    `json:"good"`
}

// ProbeReport says which rate can be offered from here, and what stands against more.
type ProbeReport struct {
	Version int     `json:"version"`
	Rate    float64 `json:"rate"`
	Limited string  `json:"limited_by"`
	Steps   []Step  `json:"steps"`
}

const (
	achievedAtLeast = 0.99
	probeTurns      = 4
)

// probe doubles the rate until it is too much, then halves the gap (by ratio) a few times.
//
// A rate is good where 99 % of it went out on time (lateness p99 within the limit) and was answered well within the
// step or right after it. One bad step may be a hiccup of the machine: a rate is given up only when it fails twice.
func probe(c *Config, stop *atomic.Bool) (*ProbeReport, error) {
	report := &ProbeReport{Version: reportVersion, Limited: "probe_to"}
	good, bad := 0.0, 0.0
	for rate := c.ProbeFrom; rate <= c.ProbeTo && !stop.Load(); rate *= 2 {
		fine, err := tryTwice(c, rate, report, stop)
		if err != nil {
			return nil, err
		}
		if !fine {
			bad = rate
			break
		}
		good = rate
	}
	for turn := 0; turn < probeTurns && bad > 0 && good > 0 && !stop.Load(); turn++ {
		rate := good + (bad-good)/2
		fine, err := tryTwice(c, rate, report, stop)
		if err != nil {
			return nil, err
		}
		if fine {
			good = rate
		} else {
			bad = rate
		}
	}
	report.Rate = good
	return report, nil
}

func tryTwice(c *Config, rate float64, report *ProbeReport, stop *atomic.Bool) (bool, error) {
	for range 2 {
		fine, err := try(c, rate, report, stop)
		if fine || err != nil {
			return fine, err
		}
	}
	return false, nil
}

func try(c *Config, rate float64, report *ProbeReport, stop *atomic.Bool) (bool, error) {
	step := *c
	step.Segments = []Segment{{Seconds: c.ProbeStep, Rate: rate}}
	step.Shard, step.Shards, step.Retries, step.Records = 0, 1, 0, ""
	session, err := newSession(&step, nil, stop)
	if err != nil {
		return false, err
	}
	books := session.run(time.Now().Add(100 * time.Millisecond))
	ledger := books.ledger()
	scheduled := max(float64(ledger.Scheduled), 1)
	s := Step{
		Rate: rate, Achieved: min(1, books.achieved(c.ProbeStep)/(scheduled/c.ProbeStep)),
		Answered: float64(ledger.OK) / scheduled, Lateness: float64(books.lateness.ValueAtQuantile(99)) / 1e6,
	}
	s.Good = s.Achieved >= achievedAtLeast && s.Answered >= achievedAtLeast && s.Lateness <= c.ProbeLateness
	report.Steps = append(report.Steps, s)
	if !s.Good {
		report.Limited = "generator"
		if s.Lateness <= c.ProbeLateness && s.Achieved >= achievedAtLeast {
			report.Limited = "server"
		}
	}
	return s.Good, nil
}
