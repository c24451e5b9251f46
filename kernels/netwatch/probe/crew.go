package probe

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// longest is how long the thread sleeps at most: what it is told is looked at often enough.
const longest = int64(5 * time.Millisecond)

// Crew are the probers of a node. One thread does for all of them what is due, so that it is woken once for all whose
// time has come together.
type Crew struct {
	probers  []*Prober
	interval atomic.Int64
	stop     atomic.Bool
	thread   atomic.Int32
	began    chan error
	turns    turns
	before   time.Duration // of its CPU time, when Spent was last called
}

// NewCrew lets probers send at most one probe each in an interval.
func NewCrew(interval time.Duration, probers ...*Prober) *Crew {
	c := &Crew{probers: probers, began: make(chan error, 1)}
	c.SetInterval(interval)
	return c
}

// SetInterval changes the time from one probe to the next.
func (c *Crew) SetInterval(interval time.Duration) { c.interval.Store(int64(interval)) }

// Interval is the time from one probe to the next.
func (c *Crew) Interval() time.Duration { return time.Duration(c.interval.Load()) }

// Began waits for the start, and says why the probers' thread is no real-time thread, or nil.
func (c *Crew) Began() error { return <-c.began }

// Stop ends Run within some milliseconds.
func (c *Crew) Stop() { c.stop.Store(true) }

// Spent is the CPU time that probing took since it was last called, and how many probes were sent. Half of the turns are
// as short as those of an idle node; see turns. What it takes to be woken counts twice: most of that is finding the caches
// cold, and whoever was interrupted finds them so as well.
func (c *Crew) Spent() (time.Duration, int) {
	sent := int64(0)
	for _, each := range c.probers {
		sent += each.sent.Swap(0)
	}
	cpu := c.cpu()
	n, median, total := c.turns.take()
	// What is not awake in a turn is spent on falling asleep and waking up.
	beside := max(0, cpu-c.before-total)
	c.before = cpu
	return 2*beside + time.Duration(n)*median, int(sent)
}

// cpu is the time that the probers' thread has had a processor for.
func (c *Crew) cpu() time.Duration {
	// The kernel's number for the clock of one thread (CPUCLOCK_PERTHREAD, CPUCLOCK_SCHED).
	clock := ^c.thread.Load()<<3 | 4 | 2
	var used unix.Timespec
	if unix.ClockGettime(clock, &used) != nil {
		return 0
	}
	return time.Duration(used.Nano())
}

// Run lets the probers probe until it is stopped, and adds up what they counted. It takes a thread for itself.
func (c *Crew) Run() Books {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.thread.Store(int32(unix.Gettid()))
	c.began <- node.RealTime(node.PriorityProbe)
	for _, each := range c.probers {
		each.next = node.Now()
	}
	for !c.stop.Load() {
		woken, interval := node.Now(), c.interval.Load()
		next := woken + longest
		for _, each := range c.probers {
			next = min(next, each.turn(node.Now(), interval))
		}
		c.turns.add(node.Now() - woken)
		sleep(next)
	}
	total := Books{Latency: NewHistogram()}
	for _, each := range c.probers {
		if each.outstanding {
			each.look(node.Now())
		}
		each.drop()
		total.Add(each.books)
	}
	return total
}
