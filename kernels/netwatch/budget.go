package main

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"perfrun.dev/netwatch/node"
	"perfrun.dev/netwatch/probe"
	"perfrun.dev/netwatch/trace"
)

const (
	// every is how often is seen what the watch costs, and sample for how long the programs are then measured.
	every  = time.Second
	sample = 20 * time.Millisecond
	// slowest is the longest interval that a budget leads to.
	slowest = 25 * time.Millisecond
	// looked is of how many seconds the usual one decides, once more than half of them are over: one in which a virtual
	// machine did not run seems dear.
	looked = 5
	// leastWanted is the least share of the CPUs' time that others are taken to have wanted: /proc/stat counts roughly.
	leastWanted = 0.01
	// ticks a second of /proc/stat: the kernel's USER_HZ.
	ticks = 100
)

// budget keeps what others lose to being watched within a share of the node's CPUs: to the probers' thread, the answers to
// it, and the programs that record. They lose it where they would have run: on a node that is idle half of the time, half
// of it. Where it would be more, probes are sent less often, and it is told. What is done about a spike that came is no
// part of it.
type budget struct {
	share    float64
	cpus     float64
	interval time.Duration // as it was told
	serving  time.Duration // of a pod for each probe, at most
	crew     *probe.Crew
	source   trace.Source
	last     used
	rounds   []float64 // CPU seconds that it took to ask all pods once, in the seconds before
	books    budgetBooks
}

// budgetBooks are what the budget saw; shares are of all CPUs.
type budgetBooks struct {
	Looks    int           `json:"looks"`
	Cost     float64       `json:"cost_mean"`  // share that it costs to be watched
	CostMax  float64       `json:"cost_max"`   // of one second
	Taken    float64       `json:"taken_mean"` // share that others lost
	TakenMax float64       `json:"taken_max"`
	Tracing  float64       `json:"tracing_mean"` // share that the programs had
	Unknown  bool          `json:"tracing_unknown"`
	Interval time.Duration `json:"interval_ns"` // as it was told
	Longest  time.Duration `json:"interval_max_ns"`
}

// used is how much of the idle time went by when.
type used struct {
	at   int64
	idle time.Duration
}

func (b *budget) used() used { return used{node.Now(), idleTime()} }

// idleTime is how long the node's CPUs had nothing to do, waiting for disks included.
func idleTime() time.Duration {
	fields := strings.Fields(processors()[0])
	if len(fields) < 6 {
		return 0
	}
	idle, _ := strconv.ParseInt(fields[4], 10, 64)
	waiting, _ := strconv.ParseInt(fields[5], 10, 64)
	return time.Duration(idle+waiting) * time.Second / ticks
}

// cpuCount is how many the node has, whichever of them this container may use.
func cpuCount() int { return max(1, len(processors())-1) }

// processors are the lines of /proc/stat about all of them together, and about each.
func processors() (lines []string) {
	text, _ := os.ReadFile("/proc/stat")
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "cpu") {
			lines = append(lines, line)
		}
	}
	return append(lines, "")[:max(1, len(lines))]
}

// run keeps the budget until the context ends.
func (b *budget) run(ctx context.Context) {
	b.books.Interval, b.books.Longest = b.interval, b.interval
	b.last = b.used()
	b.crew.Spent()
	for ctx.Err() == nil {
		pause(ctx, every)
		tracing, known := b.source.Cost(sample)
		now := b.used()
		if long := time.Duration(now.at - b.last.at); long >= every/2 {
			own, sent := b.crew.Spent()
			b.look(long, own+time.Duration(sent)*b.serving, now.idle-b.last.idle, tracing)
			b.books.Unknown = !known
		}
		b.last = now
	}
}

// look sets the interval by what the last stretch of time cost: probed is the CPU time of the probers and of who answers.
func (b *budget) look(long, probed, idle time.Duration, tracing float64) {
	part := func(time time.Duration) float64 { return float64(time) / float64(long) }
	probing := part(probed)
	cost, wanted := probing+tracing, max(leastWanted, 1-part(idle)/b.cpus)
	b.books.add(cost/b.cpus, cost*wanted/b.cpus, tracing/b.cpus)
	b.rounds = append(b.rounds, probing*b.crew.Interval().Seconds())
	b.rounds = b.rounds[max(0, len(b.rounds)-looked):]
	interval := b.interval
	if len(b.rounds) > looked/2 {
		interval = stretched(b.interval, median(b.rounds), b.share*b.cpus/wanted-tracing)
	}
	b.crew.SetInterval(interval)
	b.books.Longest = max(b.books.Longest, interval)
}

// median is of values that are not sorted; of an even number the higher of two.
func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// stretched is the interval in which all pods can be asked once for the CPU time that each round takes (seconds), with
// so many CPUs for it.
func stretched(wanted time.Duration, round, cpus float64) time.Duration {
	if cpus <= 0 {
		return slowest
	}
	return max(wanted, min(slowest, time.Duration(round/cpus*1e9)))
}

func (b *budgetBooks) add(cost, taken, tracing float64) {
	b.Looks++
	n := float64(b.Looks)
	b.Cost += (cost - b.Cost) / n
	b.Taken += (taken - b.Taken) / n
	b.Tracing += (tracing - b.Tracing) / n
	b.CostMax = max(b.CostMax, cost)
	b.TakenMax = max(b.TakenMax, taken)
}
