package probe

import (
	"sync/atomic"
	"testing"
	"time"

	"perfrun.dev/netwatch/node"
)

// seeing says what it is told of others' answers.
type seeing struct {
	asked atomic.Int64
	alive func() int64
}

func (s *seeing) Ask(int) { s.asked.Add(1) }

func (s *seeing) Alive(int) int64 { return s.alive() }

func crewOf(t *testing.T, sight Trace, interval time.Duration) (*Prober, *Crew, func() Books) {
	p := New(0, newServer(t, nil).address(t), "/", func(uint16) {}, sight, make(chan News, 100))
	crew := NewCrew(interval, p)
	books := make(chan Books, 1)
	go func() { books <- crew.Run() }()
	return p, crew, func() Books {
		crew.Stop()
		return <-books
	}
}

func TestWhatOthersWereAnsweredSparesMostProbes(t *testing.T) {
	sight := &seeing{alive: node.Now}
	p, _, stop := crewOf(t, sight, 2*time.Millisecond)
	p.Arm(time.Second)
	time.Sleep(400 * time.Millisecond)
	books := stop()
	if books.Probes < 5 || books.Spared < 5*books.Probes || books.Probes != books.Answered {
		t.Errorf("%+v", books)
	}
	if int(sight.asked.Load()) < int(books.Probes) {
		t.Errorf("the trace was told of %d probes of %d", sight.asked.Load(), books.Probes)
	}
}

func TestOldAnswersSpareNothingNorAnyBeforeAlarmsAreRaised(t *testing.T) {
	for name, each := range map[string]struct {
		alive func() int64
		armed time.Duration
	}{
		"old":       {func() int64 { return node.Now() - int64(100*time.Millisecond) }, time.Second},
		"not known": {func() int64 { return 0 }, time.Second},
		"not armed": {node.Now, 0},
	} {
		p, _, stop := crewOf(t, &seeing{alive: each.alive}, 2*time.Millisecond)
		p.Arm(each.armed)
		time.Sleep(100 * time.Millisecond)
		if books := stop(); books.Spared > 0 || books.Probes < 5 {
			t.Errorf("%s: %+v", name, books)
		}
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
