package trace

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// The most that is kept, whatever the time: about 20 MiB, which take memory only as they are needed.
const mostKept = 1 << 18

type timed interface{ at() int64 }

// ring keeps the newest of a stream that is nearly in the order of time.
type ring[T timed] struct {
	keep  int64
	items []T
	added int
	lost  uint64
}

func newRing[T timed](keep time.Duration) *ring[T] {
	return &ring[T]{keep: int64(keep), items: make([]T, mostKept)}
}

func (r *ring[T]) add(item T) {
	oldest := &r.items[r.added%mostKept]
	if r.added >= mostKept && item.at()-(*oldest).at() < r.keep {
		r.lost++
	}
	*oldest = item
	r.added++
}

func (r *ring[T]) between(from, to int64) iter.Seq[T] {
	return func(yield func(T) bool) {
		for i := max(0, r.added-mostKept); i < r.added; i++ {
			item := r.items[i%mostKept]
			if t := item.at(); from <= t && t <= to && !yield(item) {
				return
			}
		}
	}
}

func inOrder(events []Event) []Event {
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.T, b.T) })
	return events
}
