package probe

import (
	"sync/atomic"
	"time"
)

const (
	turnWidth = 2 * time.Microsecond
	turnKinds = 1024 // the last one is of all that took longer
)

// turns are how long the probers' thread was awake each time. While it sends, the kernel may have it carry others'
// packets too, which wait for this processor: that is no cost of probing, but hardly told from it. The median is free
// of it, as most turns are.
type turns struct {
	counts [turnKinds]atomic.Uint32
	total  atomic.Int64
}

func (t *turns) add(long int64) {
	t.counts[min(max(long/int64(turnWidth), 0), turnKinds-1)].Add(1)
	t.total.Add(long)
}

// take gives what was added since it was last called: how many turns, half of them no longer than median, and all
// together as long as total.
func (t *turns) take() (n int, median, total time.Duration) {
	var counts [turnKinds]uint32
	for kind := range t.counts {
		counts[kind] = t.counts[kind].Swap(0)
		n += int(counts[kind])
	}
	total = time.Duration(t.total.Swap(0))
	seen := 0
	for kind, count := range counts {
		if seen += int(count); 2*seen > n {
			return n, time.Duration(kind+1) * turnWidth, total
		}
	}
	return n, 0, total
}
