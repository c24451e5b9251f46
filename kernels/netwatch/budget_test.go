package main

import (
	"math"
	"runtime"
	"testing"
	"time"

	"perfrun.dev/netwatch/probe"
)

func TestTheIntervalIsStretchedToWhatTheBudgetAllows(t *testing.T) {
	const wanted = 2 * time.Millisecond
	for _, each := range []struct {
		round, cpus float64
		want        time.Duration
	}{
		{50e-6, 0.06, wanted},
		{120e-6, 0.06, wanted},
		{240e-6, 0.06, 4 * time.Millisecond},
		{240e-6, 0.001, slowest},
		{50e-6, 0, slowest},
		{50e-6, -0.1, slowest},
	} {
		if got := stretched(wanted, each.round, each.cpus); math.Abs(float64(got-each.want)) > 1e3 {
			t.Errorf("rounds of %g s in %g CPUs: %v, expected %v", each.round, each.cpus, got, each.want)
		}
	}
}

func TestOnlyWhatOthersLackCountsAndAnIdleNodeIsProbedAsOrdered(t *testing.T) {
	const interval = 2 * time.Millisecond
	b := budget{share: 0.03, cpus: 2, interval: interval, crew: probe.NewCrew(interval)}
	b.look(time.Second, 125*time.Millisecond, time.Second, 0.01)
	if b.crew.Interval() != interval || b.books.TakenMax != 0 || math.Abs(b.books.CostMax-0.0675) > 1e-9 {
		t.Errorf("idle: %v, %+v", b.crew.Interval(), b.books)
	}
	b.look(time.Second, 125*time.Millisecond, 0, 0.01)
	// 0.05 CPUs are left for what takes 0.125.
	if got := b.crew.Interval(); got != 5*time.Millisecond || b.books.Longest != got || math.Abs(b.books.TakenMax-0.0675) > 1e-9 {
		t.Errorf("busy: %v, %+v", got, b.books)
	}
	b.look(time.Second, 50*time.Millisecond, 0, 0.01)
	if got := b.crew.Interval(); got != 5*time.Millisecond {
		t.Errorf("kept: %v", got)
	}
	b.look(time.Second, 50*time.Millisecond, time.Second, 0.01)
	if b.crew.Interval() != interval || b.books.Longest != 5*time.Millisecond {
		t.Errorf("idle again: %v, %+v", b.crew.Interval(), b.books)
	}
}

func TestTheNodesProcessorsAndTheirIdleTimeAreSeen(t *testing.T) {
	if cpuCount() < runtime.NumCPU() {
		t.Errorf("%d processors, of which this process may use %d", cpuCount(), runtime.NumCPU())
	}
	if idle := idleTime(); idle <= 0 {
		t.Errorf("idle for %v since the machine was started", idle)
	}
}
