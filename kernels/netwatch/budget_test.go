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

func TestOnlyWhatOthersLoseCountsAndAnIdleNodeIsProbedAsOrdered(t *testing.T) {
	const interval, ms = 2 * time.Millisecond, time.Millisecond
	b := budget{share: 0.03, cpus: 2, interval: interval, crew: probe.NewCrew(interval)}
	b.look(time.Second, 125*ms, 2*time.Second, 0.01)
	if b.books.TakenMax > 0.001 || math.Abs(b.books.CostMax-0.0675) > 1e-9 {
		t.Errorf("idle: %+v", b.books)
	}
	b.look(time.Second, 125*ms, 0, 0.01)
	if math.Abs(b.books.TakenMax-0.0675) > 1e-9 {
		t.Errorf("busy: %+v", b.books)
	}
	for _, each := range []struct {
		about        string
		probed, idle time.Duration
		tracing      float64
		want         time.Duration
	}{
		{"idle", 125 * ms, 2 * time.Second, 0.01, interval},
		{"busy: 0.05 CPUs are left for what takes 0.125", 125 * ms, 0, 0.01, 5 * ms},
		{"half idle: half is taken from others, so that 0.12 - 0.02 CPUs are allowed", 125 * ms, time.Second, 0.02, 2500 * time.Microsecond},
		{"less than is allowed", 40 * ms, 0, 0.01, interval},
	} {
		b.rounds = nil
		for range looked {
			b.crew.SetInterval(interval)
			b.look(time.Second, each.probed, each.idle, each.tracing)
		}
		if got := b.crew.Interval(); got != each.want {
			t.Errorf("%s: %v, expected %v; %+v", each.about, got, each.want, b.books)
		}
	}
	if b.books.Longest != 5*ms {
		t.Errorf("the longest interval is %v", b.books.Longest)
	}
	// A round takes 0.25 ms: the fewer there are, the less it costs, and what keeps within the budget stays as it is.
	b.rounds = nil
	for range 3 * looked {
		b.look(time.Second, 250*time.Microsecond*time.Second/b.crew.Interval(), 0, 0.01)
	}
	if got := b.crew.Interval(); got != 5*ms {
		t.Errorf("in the end the interval is %v", got)
	}
}

func TestOneDearSecondStretchesNothing(t *testing.T) {
	const interval = 2 * time.Millisecond
	b := budget{share: 0.03, cpus: 2, interval: interval, crew: probe.NewCrew(interval)}
	for range looked {
		b.look(time.Second, 50*time.Millisecond, 0, 0)
	}
	for range looked / 2 {
		b.look(time.Second, 500*time.Millisecond, 0, 0)
	}
	if got := b.crew.Interval(); got != interval {
		t.Errorf("after few dear seconds: %v", got)
	}
	b.look(time.Second, 500*time.Millisecond, 0, 0)
	if got := b.crew.Interval(); got <= interval {
		t.Errorf("after many: %v", got)
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
