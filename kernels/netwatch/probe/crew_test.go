package probe

import (
	"sync/atomic"
	"testing"
	"time"
)

// seeing counts what it is told of.
type seeing struct{ asked atomic.Int64 }

func (s *seeing) Ask(int) { s.asked.Add(1) }

func crewOf(t *testing.T, sight Trace, interval time.Duration) (*Prober, *Crew, func() Books) {
	p := New(0, newServer(t, nil).address(t), "/", func(uint16) {}, sight, func(News) {})
	crew := NewCrew(interval, p)
	books := make(chan Books, 1)
	go func() { books <- crew.Run() }()
	return p, crew, func() Books {
		crew.Stop()
		return <-books
	}
}

func TestTheTraceIsToldOfEveryProbe(t *testing.T) {
	sight := &seeing{}
	_, _, stop := crewOf(t, sight, 2*time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	if books := stop(); books.Probes < 5 || books.Probes != books.Answered || sight.asked.Load() != int64(books.Probes) {
		t.Errorf("told of %d; %+v", sight.asked.Load(), books)
	}
}

func TestTheIntervalCanBeChangedAndTheThreadsTimeRead(t *testing.T) {
	p, crew, stop := crewOf(t, blind{}, time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	crew.SetInterval(200 * time.Millisecond)
	time.Sleep(20 * time.Millisecond)
	p.Take()
	time.Sleep(300 * time.Millisecond)
	if sent := p.Take().TotalCount(); sent > 3 {
		t.Errorf("%d probes in 300 ms", sent)
	}
	if spent, sent := crew.Spent(); spent <= 0 || spent > time.Second || sent < 50 {
		t.Errorf("the thread took %v for %d probes", spent, sent)
	}
	stop()
}

func TestTurnsThatCarriedOthersPacketsDoNotCount(t *testing.T) {
	var of turns
	for range 60 {
		of.add(int64(9 * time.Microsecond))
	}
	for range 40 {
		of.add(int64(time.Second))
	}
	if n, median, total := of.take(); n != 100 || median != 10*time.Microsecond || total < 40*time.Second {
		t.Errorf("%d turns, half of them no longer than %v, together %v", n, median, total)
	}
	if n, median, total := of.take(); n != 0 || median != 0 || total != 0 {
		t.Errorf("taken again: %d, %v, %v", n, median, total)
	}
}
