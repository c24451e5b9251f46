package trace

import (
	"cmp"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// entry is one event as ftrace has it: packets are only told by the address of their buffer.
type entry struct {
	T           int64
	Skb, Value  uint64   // Value: a reason below a protocol, or the state of the task before
	Name, Other [16]byte // a device; a task and the one before; or the addresses that a segment goes from and to
	From, To    uint16   // their ports
	CPU         int32
	By          int32 // the task that ran there, or that an interrupt held up
	PID, Prev   int32
	RunQueue    int32
	Ifindex     int32
	Len         uint32
	What        uint8 // the place in hooks
	Interrupt   bool  // not the task did it, but an interrupt that held it up
}

// ends are where a segment comes from and where it goes.
func (e entry) ends() (source, target netip.AddrPort) {
	return netip.AddrPortFrom(netip.AddrFrom16(e.Name).Unmap(), e.From),
		netip.AddrPortFrom(netip.AddrFrom16(e.Other).Unmap(), e.To)
}

func (e entry) at() int64 { return e.T }

// hooks are ftrace's tracepoints and the kinds of event that they give.
var hooks = []struct {
	tracepoint string
	kinds      []string
}{
	{"net/net_dev_queue", []string{DevQueue}},
	{"qdisc/qdisc_enqueue", []string{QdiscEnqueue}},
	{"qdisc/qdisc_dequeue", []string{QdiscDequeue}},
	{"net/net_dev_start_xmit", []string{DevXmit}},
	{"net/netif_rx", []string{NetifRx}},
	{"net/netif_receive_skb", []string{NetifReceive}},
	{"tcp/tcp_probe", []string{SockReady}},
	{"skb/skb_copy_datagram_iovec", []string{Recv}},
	{"skb/kfree_skb", []string{Drop}},
	{"sched/sched_waking", []string{Waking}},
	{"sched/sched_wakeup", []string{Wakeup}},
	{"sched/sched_switch", []string{SwitchIn, SwitchOut}},
}

// ftraceSource writes into the instance's buffers only, over what is old: they are read when somebody asks for a
// window. Reading always would cost more than all the rest.
type ftraceSource struct {
	instance *instance
	offers   Facilities
	formats  map[uint16]hook
	reasons  map[uint32]string
	mutex    sync.Mutex
	kept     *ring[entry]
	lost     uint64
	scene    scene
}

// hook is a tracepoint with the fields that are read of it, which are looked up once: events come by the ten thousand.
type hook struct {
	what                      uint8
	kind                      string
	by, pid, prev, comm, from field
	runQueue, state           field
	skb, length, dev, ifindex field
	protocol, reason          field
	source, target, sent, got field
}

func newHook(what uint8, f *format) hook {
	of := f.fields
	h := hook{
		what: what, kind: hooks[what].kinds[0], by: of["common_pid"], pid: of["pid"], comm: of["comm"],
		runQueue: of["target_cpu"], skb: of["skbaddr"], length: of["len"], dev: of["name"], ifindex: of["ifindex"],
		protocol: of["protocol"], reason: of["reason"],
	}
	switch h.kind {
	case SwitchIn:
		h.pid, h.comm, h.prev, h.from, h.state = of["next_pid"], of["next_comm"], of["prev_pid"], of["prev_comm"], of["prev_state"]
	case SockReady:
		// saddr is the socket's own, so that the segment went to it.
		h.length = of["data_len"]
		h.source, h.sent, h.target, h.got = of["daddr"], of["dport"], of["saddr"], of["sport"]
	}
	return h
}

func openFtrace(opts Options) (_ Source, err error) {
	instance, err := newInstance(opts.Bytes)
	if err != nil {
		return nil, err
	}
	s := &ftraceSource{instance: instance, formats: map[uint16]hook{}, kept: newRing[entry](opts.Keep)}
	s.offers = Facilities{Source: SourceFtrace, Missing: map[string]string{}, Kernel: kernelRelease()}
	for what, one := range hooks {
		found, err := readFormat(filepath.Join(instance.folder, "events", one.tracepoint, "format"))
		if err != nil {
			for _, kind := range one.kinds {
				s.offers.Missing[kind] = "ftrace has no tracepoint " + one.tracepoint
			}
			continue
		}
		s.formats[found.id] = newHook(uint8(what), found)
		s.offers.Events = append(s.offers.Events, one.kinds...)
		if one.kinds[0] == Drop {
			s.reasons = found.names()
		}
	}
	slices.Sort(s.offers.Events)
	if len(s.offers.Events) == 0 {
		return nil, errors.Join(errors.New("ftrace has no tracepoint that is needed"), instance.close())
	}
	return s, nil
}

func (s *ftraceSource) Facilities() Facilities { return s.offers }

func (s *ftraceSource) Watch(targets []Target, ports []uint16) error {
	scene, err := newScene(targets, ports)
	if err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.scene = scene
	filters := scene.filters()
	for _, one := range s.formats {
		tracepoint := hooks[one.what].tracepoint
		folder := filepath.Join("events", tracepoint)
		// Where there are too many conditions for the kernel, everything is taken: that costs, but loses nothing.
		if s.instance.write(filepath.Join(folder, "filter"), cmp.Or(filters[hooks[one.what].kinds[0]], "0")) != nil {
			if err := s.instance.write(filepath.Join(folder, "filter"), "0"); err != nil {
				return err
			}
		}
		enabled := "1"
		if len(targets) == 0 {
			enabled = "0"
		}
		if err := s.instance.write(filepath.Join(folder, "enable"), enabled); err != nil {
			return err
		}
	}
	return nil
}

// Ask, Reader and Cost: ftrace writes down whatever it is told to, and knows nothing else.
func (s *ftraceSource) Ask(int) {}

func (s *ftraceSource) Reader(int) Reader { return Reader{} }

func (s *ftraceSource) Cost(time.Duration) (float64, bool) { return 0, false }

func (s *ftraceSource) Window(from, to int64) []Event {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, one := range s.instance.pipes {
		lost, after, before := one.read(func(t int64, data []byte) { s.take(t, one.cpu, data) })
		if lost > 0 && after <= to && from <= before {
			s.lost += lost
		}
	}
	var entries []entry
	for one := range s.kept.between(from-lookBack, to) {
		entries = append(entries, one)
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.T, b.T) })
	events := append(s.scene.packets(entries, s.reasons), s.scene.tasks(entries)...)
	events = slices.DeleteFunc(events, func(e Event) bool { return e.T < from })
	return inOrder(events)
}

func (s *ftraceSource) take(t int64, cpu int, data []byte) {
	const interrupts = 0x08 | 0x10 // a hardware or a software interrupt held the task up
	if len(data) < 8 {
		return
	}
	id := uint16(data[0]) | uint16(data[1])<<8
	h, ok := s.formats[id]
	if !ok {
		return
	}
	e := entry{T: t, What: h.what, CPU: int32(cpu), By: h.by.signed(data), Interrupt: data[2]&interrupts != 0}
	switch h.kind {
	case Waking, Wakeup:
		e.PID, e.Name, e.RunQueue = h.pid.signed(data), h.comm.name(data), h.runQueue.signed(data)
	case SwitchIn:
		e.PID, e.Name = h.pid.signed(data), h.comm.name(data)
		e.Prev, e.Other, e.Value = h.prev.signed(data), h.from.name(data), h.state.number(data)
	case SockReady:
		e.Skb, e.Len = h.skb.number(data), uint32(h.length.number(data))
		e.Name, e.From = h.source.address(data), uint16(h.sent.number(data))
		e.Other, e.To = h.target.address(data), uint16(h.got.number(data))
	default:
		e.Skb, e.Len = h.skb.number(data), uint32(h.length.number(data))
		e.Name, e.Ifindex = h.dev.name(data), h.ifindex.signed(data)
		e.Value = h.protocol.number(data)<<32 | h.reason.number(data)
	}
	s.kept.add(e)
}

func (s *ftraceSource) Lost() uint64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.lost + s.kept.lost
}

func (s *ftraceSource) Close() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var failed []error
	for _, one := range s.formats {
		failed = append(failed, s.instance.write(filepath.Join("events", hooks[one.what].tracepoint, "enable"), "0"))
	}
	return errors.Join(append(failed, s.instance.close())...)
}
