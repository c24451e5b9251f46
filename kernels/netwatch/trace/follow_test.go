package trace

import (
	"net/netip"
	"slices"
	"testing"
)

// What ftrace writes, played back without a kernel: a prober's thread 10, a server's thread 20, and others.
var (
	prober = netip.MustParseAddrPort("10.0.0.1:40000")
	server = netip.MustParseAddrPort("10.0.0.2:8080")
	played = scene{
		netns: 1, devices: map[string]int{"vethpod": 7, "eth0": 2}, probers: map[int32]bool{10: true},
		askers: map[netip.AddrPort]netip.Addr{server: prober.Addr()}, ports: map[uint16]bool{40000: true},
		targets: []Target{{NetNS: 2, Addr: server, Devs: []string{"vethpod", "eth0"}}}, servers: map[int32]int{20: 0},
	}
)

func at(t int64, kind string, by int32, more entry) entry {
	more.T, more.By = t, by
	more.What = uint8(slices.IndexFunc(hooks, func(h struct {
		tracepoint string
		kinds      []string
	}) bool {
		return h.kinds[0] == kind
	}))
	return more
}

func device(name string, skb uint64, length uint32) (e entry) {
	copy(e.Name[:], name)
	e.Skb, e.Len = skb, length
	return e
}

func segment(skb uint64, length uint32, from, to netip.AddrPort) entry {
	return entry{
		Skb: skb, Len: length, Name: from.Addr().As16(), From: from.Port(), Other: to.Addr().As16(), To: to.Port(),
	}
}

// asks is a request that arrives, is read and answered: the reply's address is the request's and one.
func asks(t int64, skb uint64) []entry {
	return []entry{
		at(t, DevQueue, 10, device("vethpod", skb, 166)),
		at(t+1, NetifReceive, 10, device("eth0", skb, 152)),
		at(t+2, SockReady, 10, segment(skb, 100, prober, server)),
		at(t+3, Recv, 20, entry{Skb: skb, Len: 100}),
		at(t+4, DevQueue, 20, device("eth0", skb+1, 266)),
		at(t+5, NetifReceive, 20, device("vethpod", skb+1, 252)),
		at(t+6, SockReady, 20, segment(skb+1, 200, server, prober)),
	}
}

func TestRequestThatArrivesNowhereIsItsThreads(t *testing.T) {
	entries := append(asks(0, 100), at(50, DevQueue, 10, device("vethpod", 300, 166)))
	last := played.packets(entries, nil)[len(entries)-1]
	if want := (Event{T: 50, K: DevQueue, NetNS: 1, Ifindex: 7, Dir: "request", Port: 40000, Len: 100}); last != want {
		t.Errorf("%+v, expected %+v", last, want)
	}
}

func TestReplyThatArrivesNowhereIsWhatItsThreadSentAfterItRead(t *testing.T) {
	entries := append(asks(0, 100), asks(50, 300)[:5]...)
	entries = append(entries, at(60, DevQueue, 20, device("eth0", 700, 266))) // another's: one reply to one request
	events := played.packets(entries, nil)
	last := events[len(events)-1]
	if want := (Event{T: 54, K: DevQueue, NetNS: 2, Dir: "reply", Port: 40000, Len: 200}); last != want {
		t.Errorf("%+v, expected %+v", last, want)
	}
}

func TestWhatAServerSendsToOthersIsLeftOut(t *testing.T) {
	entries := append(asks(0, 100), asks(50, 300)[:4]...)
	entries = append(entries,
		at(60, Recv, 20, entry{Skb: 900, Len: 100}), // it reads another's request, and answers that
		at(61, DevQueue, 20, device("eth0", 901, 266)),
	)
	for _, e := range played.packets(entries, nil) {
		if e.T > 53 {
			t.Errorf("not a prober's: %+v", e)
		}
	}
}

func TestPacketThatIsPassedOnKeepsItsWay(t *testing.T) {
	entries := asks(0, 100)
	entries = slices.Insert(entries, 1,
		at(0, NetifReceive, 10, device("bridge", 100, 152)), at(0, DevQueue, 99, device("bridge", 100, 166)))
	var kinds []string
	for _, e := range played.packets(entries, nil) {
		if e.Dir == "request" {
			kinds = append(kinds, e.K)
		}
	}
	if want := []string{DevQueue, NetifReceive, DevQueue, NetifReceive, SockReady, Recv}; !slices.Equal(kinds, want) {
		t.Errorf("%v, expected %v", kinds, want)
	}
}

func TestDropIsTold(t *testing.T) {
	dropped := func(protocol uint64) []entry {
		return append(asks(0, 100), at(50, Drop, 10, entry{Skb: 500, Value: protocol<<32 | 62}))
	}
	events := played.packets(dropped(0x0800), map[uint32]string{62: "TC_EGRESS"})
	if last := events[len(events)-1]; last.K != Drop || last.Reason != "TC_EGRESS" || last.Dir != "request" {
		t.Errorf("%+v", last)
	}
	if events := played.packets(dropped(0x0806), nil); events[len(events)-1].K == Drop {
		t.Error("a dropped ARP packet was taken for a request")
	}
}

func TestDropAtAnAddressUsedBeforeIsNotTheOlderPackets(t *testing.T) {
	// The address was a reply's, which arrived; then a timer sends again what is dropped, while the server runs.
	entries := append(asks(0, 100), asks(20, 300)[:4]...)
	entries = append(entries, at(50, Drop, 20, entry{Skb: 101, Value: 0x0800<<32 | 62, Interrupt: true}))
	for _, e := range played.packets(entries, nil) {
		if e.K == Drop {
			t.Errorf("told of nobody's: %+v", e)
		}
	}
	entries = append(entries, at(60, Drop, 10, entry{Skb: 101, Value: 0x0800<<32 | 62}))
	events := played.packets(entries, nil)
	if last := events[len(events)-1]; last.K != Drop || last.Dir != "request" {
		t.Errorf("%+v", last)
	}
}

func TestWhoeverRunsWhileATaskWaitsIsTold(t *testing.T) {
	events := played.tasks([]entry{
		at(1, SwitchIn, 0, entry{CPU: 1, PID: 77, Prev: 0}),
		at(2, Waking, 10, entry{CPU: 0, PID: 20, RunQueue: 1}),
		at(3, Wakeup, 10, entry{CPU: 0, PID: 20, RunQueue: 1}),
		at(4, SwitchIn, 77, entry{CPU: 1, PID: 78, Prev: 77, Value: 1}),
		at(5, SwitchIn, 0, entry{CPU: 0, PID: 79, Prev: 0}), // another CPU
		at(6, SwitchIn, 78, entry{CPU: 1, PID: 20, Prev: 78, Value: 0x100}),
		at(7, SwitchIn, 20, entry{CPU: 1, PID: 79, Prev: 20, Value: 1}),
		at(8, SwitchIn, 79, entry{CPU: 1, PID: 80, Prev: 79, Value: 1}),
	})
	want := []Event{
		{T: 2, K: Waking, NetNS: 2, CPU: 0, PID: 20, PrevPID: 10},
		{T: 3, K: Wakeup, NetNS: 2, CPU: 1, PID: 20, PrevPID: 77},
		{T: 4, K: SwitchIn, CPU: 1, PID: 78, PrevPID: 77, PrevState: "S"},
		{T: 6, K: SwitchIn, NetNS: 2, CPU: 1, PID: 20, PrevPID: 78, PrevState: "R"},
		{T: 7, K: SwitchOut, NetNS: 2, CPU: 1, PID: 20, PrevPID: 79, PrevState: "S"},
	}
	if !slices.Equal(events, want) {
		t.Errorf("%+v", events)
	}
}
