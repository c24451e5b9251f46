package main

import (
	"errors"
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
	Limited string  `json:"limited_by"` // generator, server, time, or probe_to, which was reached
	Steps   []Step  `json:"steps"`
}

const (
	achievedAtLeast    = 0.99
	limitedByGenerator = "generator"
	probeTurns         = 4
	// A step waits no longer for its last answers: the ladder has to end before the load begins.
	probeDeadline = 1.0
	probeAhead    = 0.1
	outgoing      = 0.8
	// A step of fewer requests a second has too few to tell anything.
	leastRate = 20
)

// probe doubles the rate until it is too much, then halves the gap (by ratio) a few times. Where the first rate is too
// much already, lower ones are tried until one is not: what can be offered is told, not only what cannot.
//
// A rate is good where 99 % of it went out on time (lateness p99 within the limit) and was answered well within the
// step or right after it. One bad step may be a hiccup of the machine: a rate is given up only when it fails twice.
// No step is begun that may not be over at probe_until.
func probe(c *Config, stop *atomic.Bool) (*ProbeReport, error) {
	l := ladder{config: c, stop: stop, report: &ProbeReport{Version: reportVersion, Limited: "probe_to"}}
	err := l.climb()
	if errors.Is(err, errNoTime) {
		err = nil
	}
	l.report.Rate = l.good
	return l.report, err
}

// ladder is the highest rate that was good and the lowest that was too much, as far as they are known.
type ladder struct {
	config    *Config
	stop      *atomic.Bool
	report    *ProbeReport
	good, bad float64
}

func (l *ladder) climb() error {
	for rate := l.config.ProbeFrom; rate <= l.config.ProbeTo && l.bad == 0 && !l.stop.Load(); rate *= 2 {
		if err := l.step(rate, tryTwice); errors.Is(err, errNoTime) {
			l.report.Limited = "time"
			return err
		} else if err != nil {
			return err
		}
	}
	for turn := 0; turn < probeTurns && l.good == 0 && l.bad > 0 && !l.stop.Load(); turn++ {
		// What went out of a rate that was too much is about what can go out at all.
		last := l.report.Steps[len(l.report.Steps)-1]
		rate := min(l.bad/2, outgoing*last.Achieved*last.Rate)
		if rate < leastRate {
			break
		}
		if err := l.step(rate, try); err != nil {
			return err
		}
	}
	for turn := 0; turn < probeTurns && l.bad > 0 && l.good > 0 && !l.stop.Load(); turn++ {
		if err := l.step(l.good+(l.bad-l.good)/2, tryTwice); err != nil {
			return err
		}
	}
	return nil
}

// step tries a rate, and notes whether it was good or too much, and for whom.
func (l *ladder) step(rate float64, tried func(*Config, float64, *ProbeReport, *atomic.Bool) (bool, error)) error {
	fine, err := tried(l.config, rate, l.report, l.stop)
	switch {
	case err != nil:
		return err
	case fine:
		l.good = rate
	default:
		l.bad, l.report.Limited = rate, l.report.limit(l.config)
	}
	return nil
}

// limit says which side a bad step was too much for.
func (r *ProbeReport) limit(c *Config) string {
	last := r.Steps[len(r.Steps)-1]
	// A rate that the generator itself cannot offer stays so, whatever stands against lower ones.
	if r.Limited == limitedByGenerator {
		return r.Limited
	}
	if last.Lateness <= c.ProbeLateness && last.Achieved >= achievedAtLeast {
		return "server"
	}
	return limitedByGenerator
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

var errNoTime = errors.New("there is no time for another step")

func try(c *Config, rate float64, report *ProbeReport, stop *atomic.Bool) (bool, error) {
	step := *c
	step.Deadline = min(c.Deadline, probeDeadline)
	step.AttemptTimeout = step.Deadline
	longest := probeAhead + c.ProbeStep + step.Deadline
	if c.ProbeUntil > 0 && float64(time.Now().UnixNano())/1e9+longest > c.ProbeUntil {
		return false, errNoTime
	}
	step.Segments = []Segment{{Seconds: c.ProbeStep, Rate: rate}}
	step.Shard, step.Shards, step.Retries, step.Records = 0, 1, 0, ""
	// In the servers' logs these are not the requests that are going to be counted.
	step.Run = probeName(c.Run)
	session, err := newSession(&step, nil, stop)
	if err != nil {
		return false, err
	}
	books := session.run(time.Now().Add(time.Duration(probeAhead * float64(time.Second))))
	ledger := books.ledger()
	scheduled := max(float64(ledger.Scheduled), 1)
	s := Step{
		Rate: rate, Achieved: min(1, books.achieved(c.ProbeStep)/(scheduled/c.ProbeStep)),
		Answered: float64(ledger.OK) / scheduled, Lateness: float64(books.lateness.total().ValueAtQuantile(99)) / 1e6,
	}
	s.Good = s.Achieved >= achievedAtLeast && s.Answered >= achievedAtLeast && s.Lateness <= c.ProbeLateness
	report.Steps = append(report.Steps, s)
	return s.Good, nil
}

func probeName(run string) string {
	name := "probe." + run
	return name[:min(len(name), mostName)]
}
