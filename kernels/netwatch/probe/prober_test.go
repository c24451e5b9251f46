package probe

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"perfrun.dev/netwatch/node"
)

// server answers at once, or only when it is let.
type server struct {
	*httptest.Server
	stalled atomic.Bool
}

func newServer(t *testing.T, headers http.Header) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for s.stalled.Load() {
			time.Sleep(time.Millisecond)
		}
		for name, values := range headers {
			w.Header()[name] = values
		}
		fmt.Fprintln(w, "ok")
	}))
	t.Cleanup(func() {
		s.stalled.Store(false)
		s.Close()
	})
	return s
}

func (s *server) address(t *testing.T) netip.AddrPort {
	at, err := netip.ParseAddrPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// blind sees nothing of what is asked.
type blind struct{}

func (blind) Ask(int) {}

// start runs a prober; the function ends it.
func start(to netip.AddrPort, told func(uint16)) (*Prober, chan News, func() Books) {
	news := make(chan News, 100)
	p := New(0, to, "/", told, blind{}, func(each News) { news <- each })
	crew := NewCrew(time.Millisecond, p)
	books := make(chan Books, 1)
	go func() { books <- crew.Run() }()
	return p, news, func() Books {
		crew.Stop()
		return <-books
	}
}

func next(t *testing.T, news chan News, kind string) News {
	t.Helper()
	select {
	case each := <-news:
		if each.Kind != kind {
			t.Fatalf("%+v; expected %s", each, kind)
		}
		return each
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s", kind)
	}
	panic("unreachable")
}

const deadline = 300 * time.Millisecond // of a machine that other tests keep busy

func TestASpikeIsToldWhileItLastsAndItsAnswerAfterwards(t *testing.T) {
	s := newServer(t, nil)
	p, news, stop := start(s.address(t), func(uint16) {})
	p.Arm(deadline)
	time.Sleep(50 * time.Millisecond)
	s.stalled.Store(true)
	spike := next(t, news, Spike)
	if late := spike.At - spike.Deadline; late < 0 || spike.Deadline-spike.Sent < int64(deadline) {
		t.Errorf("sent at %d, due at %d, told at %d", spike.Sent, spike.Deadline, spike.At)
	}
	if p.Calm(spike.At) != 0 {
		t.Error("calm in the midst of a spike")
	}
	s.stalled.Store(false)
	answer := next(t, news, Answer)
	if answer.Seq != spike.Seq || answer.Arrived <= spike.At || answer.Arrived > answer.At {
		t.Errorf("%+v after %+v", answer, spike)
	}
	books := stop()
	if books.Probes != books.Answered || books.Alarms != 1 || books.Missed != 0 {
		t.Errorf("%+v", books)
	}
	if books.LateMax <= 0 || books.LateMax >= int64(deadline) {
		t.Errorf("probes were sent up to %d ns late: only one that waited for an answer was", books.LateMax)
	}
	if longest := books.Latency.Max(); longest < int64(deadline) {
		t.Errorf("the longest latency is %d ns", longest)
	}
}

func TestAProbeThatWasDueMeanwhileIsSentOnceTheOneBeforeIsAnswered(t *testing.T) {
	const interval = int64(100 * time.Millisecond)
	s := newServer(t, nil)
	p := New(0, s.address(t), "/", func(uint16) {}, blind{}, func(News) {})
	p.next = node.Now()
	until := func(now int64, done func() bool) {
		for range 1000 {
			if p.turn(now, interval); done() {
				return
			}
			time.Sleep(time.Millisecond)
		}
		t.Fatalf("%+v", p.books)
	}
	until(p.next, func() bool { return p.books.Answered == 1 })
	s.stalled.Store(true)
	slot := p.next
	p.turn(slot, interval)
	p.turn(slot+interval, interval)
	if p.books.Probes != 2 {
		t.Errorf("%d probes, while the second is under way", p.books.Probes)
	}
	s.stalled.Store(false)
	until(slot+interval+1, func() bool { return p.books.Answered == 3 })
	if p.turn(slot+interval+2, interval); p.books.Probes != 3 || p.current.Intended != slot+interval {
		t.Errorf("%d probes, the last of the schedule's %d; expected 3, and %d", p.books.Probes, p.current.Intended, slot+interval)
	}
	p.drop()
}

func TestThereIsNoAlarmBeforeItIsArmedNorWhenAnswersComeInTime(t *testing.T) {
	s := newServer(t, nil)
	p, news, stop := start(s.address(t), func(uint16) {})
	time.Sleep(20 * time.Millisecond)
	s.stalled.Store(true)
	time.Sleep(20 * time.Millisecond)
	s.stalled.Store(false)
	p.Arm(time.Second / 2)
	time.Sleep(50 * time.Millisecond)
	books := stop()
	if len(news) > 0 || books.Alarms > 0 || books.Answered < 10 {
		t.Errorf("%d news, %+v", len(news), books)
	}
}

func TestAProberThatPausesSendsNothing(t *testing.T) {
	s := newServer(t, nil)
	p, _, stop := start(s.address(t), func(uint16) {})
	time.Sleep(20 * time.Millisecond)
	for give := time.Now().Add(10 * time.Second); !p.Pause(); {
		if time.Now().After(give) {
			t.Fatal("it does not pause")
		}
	}
	p.Take()
	time.Sleep(20 * time.Millisecond)
	if sent := p.Take().TotalCount(); sent > 0 {
		t.Errorf("%d answers while it paused", sent)
	}
	p.Resume()
	time.Sleep(100 * time.Millisecond)
	if p.Take().TotalCount() == 0 {
		t.Error("it does not go on")
	}
	stop()
}

func TestEachConnectionsPortIsToldBeforeItIsUsed(t *testing.T) {
	seen := make(chan string, 10000)
	s := newServer(t, http.Header{"Connection": {"close"}})
	s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateNew {
			seen <- conn.RemoteAddr().String()
		}
	}
	told := make(chan uint16, 10000)
	_, _, stop := start(s.address(t), func(port uint16) { told <- port })
	for range 3 {
		address := <-seen
		if port := <-told; address != fmt.Sprintf("127.0.0.1:%d", port) {
			t.Errorf("told %d, seen %s", port, address)
		}
	}
	if books := stop(); books.Answered < 2 || books.Alarms > 0 {
		t.Errorf("%+v", books)
	}
}

func TestAPodThatTakesNoConnectionsIsLost(t *testing.T) {
	s := newServer(t, nil)
	p, news, stop := start(s.address(t), func(uint16) {})
	p.Arm(time.Second)
	time.Sleep(20 * time.Millisecond)
	s.CloseClientConnections()
	_ = s.Listener.Close()
	if gone := next(t, news, Lost); gone.Err == nil || !p.Gone() {
		t.Errorf("%+v", gone)
	}
	if books := stop(); books.Missed == 0 || books.Alarms > 0 {
		t.Errorf("%+v", books)
	}
}
