package inject

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"perfrun.dev/netwatch/node"
)

// quota lets the container use its processors for a millisecond of each period. A child in its control group uses
// that up, so that a container with little to do is held back too.
type quota struct {
	group   node.Group
	times   node.Group // that counts its CPU time
	spinner *spinner
}

const (
	quotaMicros = 1000              // the least that the kernel takes
	enough      = quotaMicros * 800 // nanoseconds; the kernel may count the last ones later
	mostPeriod  = 20 * time.Millisecond
	standing    = int64(2500 * time.Microsecond)
	runUp       = 5 * time.Millisecond
)

func (q *quota) prepare(target Target, record *Record) error {
	var err error
	if q.group, err = groupOf("cpu", target); err != nil {
		return err
	}
	if q.times, err = groupOf("cpuacct", target); err != nil && q.group.Version == 1 {
		return err
	}
	// Set back in this order: a long quota with a short period may be more than the parent group has.
	files := []string{"cpu.cfs_period_us", "cpu.cfs_quota_us"}
	if q.group.Version == 2 {
		files = []string{"cpu.max"}
	}
	if record.Files, err = save(q.group, files...); err != nil {
		return refuse("NoQuota", "the container's CPU quota cannot be read: %v", err)
	}
	return nil
}

func (q *quota) arm(target Target, record *Record, lasts time.Duration) error {
	cpus, err := allowed(target)
	if err != nil {
		return err
	}
	// The kernel takes long to begin with quotas: that is over when the spike is to begin.
	if err := q.shorten(record, min(mostPeriod, lasts/2), len(cpus)); err != nil {
		return refuse("NoQuota", "the container's CPU quota cannot be set: %v", err)
	}
	join := []string{q.group.File("cgroup.procs")}
	if q.group.Version == 1 {
		// Where both are one, the second time changes nothing.
		join = append(join, q.times.File("cgroup.procs"))
	}
	if q.spinner, err = startSpinner(spinOrder{CPUs: cpus, Join: join}); err != nil {
		return refuse("NoChild", "no child can be put into container group %s: %v", q.group.Path, err)
	}
	return nil
}

// do returns when the container last ran: since then none of its tasks did, although the child's want to all the time,
// and its time is used up. Tasks that only wait for their turn stand still too, but then there is time left.
func (q *quota) do(_ *Record, lasts time.Duration) (int64, error) {
	q.spinner.shared.letGo(node.Now() + int64(seen+lasts+overtime))
	// A processor on which the child runs is held back at once, others when something next runs there.
	q.spinner.awaitAll(runUp)
	period, before := q.group.Counter("cpu.stat", "nr_periods"), q.used()
	if err := q.limit(quotaMicros); err != nil {
		return 0, refuse("NoQuota", "the container's CPU quota cannot be set: %v", err)
	}
	ran := node.Now()
	last, looked := before, ran
	for give := ran + int64(seen); looked < give; node.Pause(node.Now() + resolution) {
		used := q.used()
		if used != last {
			last, ran = used, looked
		}
		looked = node.Now()
		// With a new period there is new time.
		if now := q.group.Counter("cpu.stat", "nr_periods"); now != period {
			period, before = now, used
		}
		if used-before > enough && looked-ran > standing {
			return ran, nil
		}
	}
	return 0, refuse("NotThrottled", "container group %s was not held back within %v", q.group.Path, seen)
}

// used is the CPU time of the container so far, in nanoseconds.
func (q *quota) used() int64 {
	if q.group.Version == 2 {
		return int64(1000 * q.group.Counter("cpu.stat", "usage_usec"))
	}
	text, _ := q.times.Read("cpuacct.usage")
	used, _ := strconv.ParseInt(text, 10, 64)
	return used
}

func (q *quota) limit(micros int64) error {
	if q.group.Version == 2 {
		return q.group.Write("cpu.max", fmt.Sprint(micros))
	}
	return q.group.Write("cpu.cfs_quota_us", fmt.Sprint(micros))
}

// shorten has the container's time come in periods of a spike's length, and more of it than it can use. A container
// that has a quota already keeps its period.
func (q *quota) shorten(record *Record, period time.Duration, cpus int) error {
	micros := period.Microseconds()
	plenty := 10 * micros * int64(cpus)
	switch value := record.Files[len(record.Files)-1].Value; {
	case q.group.Version == 2 && strings.HasPrefix(value, "max"):
		return q.group.Write("cpu.max", fmt.Sprintf("%d %d", plenty, micros))
	case q.group.Version == 1 && value == "-1":
		if err := q.group.Write("cpu.cfs_period_us", fmt.Sprint(micros)); err != nil {
			return err
		}
		// Where the parent group has a quota this one may not have so much; it is not needed there.
		_ = q.limit(plenty)
	}
	return nil
}

func (q *quota) release(record *Record) error { return restore(record.Files) }

func (q *quota) close() {
	if q.spinner != nil {
		q.spinner.end()
	}
}
