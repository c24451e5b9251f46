package trace

import "fmt"

const (
	lookBack = 500_000_000 // what began before a window is needed to understand it, nanoseconds
	// A probe is short: longer segments are somebody's bulk, and shorter ones say nothing. As in bpf/event.h.
	shortest, longest = 67, 16384
	// Of a segment at a device: Ethernet, IPv4 and TCP with time stamps, as Linux sends it.
	headers = 14 + 20 + 32
	// The shortest with a payload for certain: an acknowledgement may have options of up to 40 bytes.
	loaded = 14 + 20 + 60
)

// journey is the way of one packet. Ftrace does not see whose it is until TCP has it; before, it is guessed by who
// sent it: a prober's thread sends nothing else, and a server's thread sends the reply to what it read last.
type journey struct {
	entries   []entry
	dir       string
	port      uint16
	which     int // target
	payload   int
	confirmed bool
}

// asked is what a thread has to do with probes: as a prober its last request's, as a server the one that it read.
type asked struct {
	port  uint16
	which int
	reply bool // it has yet to be answered
}

// packets gives the events of the probes' packets among all, which are in the order of time.
func (s scene) packets(entries []entry, reasons map[uint32]string) []Event {
	under, threads, names := map[uint64]*journey{}, s.acquainted(entries), map[int32]string{}
	var all []*journey
	begin := func(e entry) *journey {
		j := &journey{}
		under[e.Skb] = j
		all = append(all, j)
		return j
	}
	for _, e := range entries {
		j := under[e.Skb]
		switch hooks[e.What].kinds[0] {
		case Waking, Wakeup:
			continue
		case SwitchIn:
			names[e.PID] = text(e.Name[:])
			continue
		case DevQueue:
			// A packet that is passed on keeps its buffer and its way; a thread that sends begins a new one.
			if guess := s.guess(e, threads); j == nil || guess != nil || len(j.entries) == 0 || !passedOn(j) {
				j = begin(e)
				if guess != nil {
					*j = *guess
				}
			}
		case SockReady:
			if j == nil || j.confirmed {
				j = begin(e)
			}
			j.dir, j.port, j.which = s.flow(e.ends())
			j.payload, j.confirmed = int(e.Len), true
		case Recv:
			if j == nil || !j.confirmed || j.dir == "" {
				// Something else is read: what is sent from now on is for that.
				if _, serves := s.servers[e.By]; serves {
					threads[e.By] = asked{}
				}
				continue
			}
			if j.dir == directions[1] {
				threads[e.By] = asked{j.port, j.which, true}
			}
		case Drop:
			if j == nil || j.dir == "" || j.confirmed {
				// What was at this address before is gone: this one never came to a device.
				guess := s.guess(e, threads)
				if guess == nil || !ip(e.Value>>32) {
					continue
				}
				j = begin(e)
				*j = *guess
			}
			delete(under, e.Skb)
		}
		if j == nil {
			j = begin(e)
		}
		j.entries = append(j.entries, e)
	}
	var events []Event
	for _, j := range all {
		if j.dir != "" {
			events = append(events, s.told(j, reasons, names)...)
		}
	}
	return events
}

func ip(protocol uint64) bool { return protocol == 0x0800 || protocol == 0x86dd }

// passedOn says whether a packet that is sent came in before, as through a bridge.
func passedOn(j *journey) bool {
	return !j.confirmed && hooks[j.entries[len(j.entries)-1].What].kinds[0] == NetifReceive
}

// acquainted says which port each prober's thread uses, by the requests of it that arrived.
func (s scene) acquainted(entries []entry) map[int32]asked {
	threads, senders := map[int32]asked{}, map[uint64]int32{}
	for _, e := range entries {
		switch hooks[e.What].kinds[0] {
		case DevQueue:
			senders[e.Skb] = e.By
		case SockReady:
			dir, port, which := s.flow(e.ends())
			if by := senders[e.Skb]; dir == directions[1] && e.Len > 0 && s.probers[by] {
				threads[by] = asked{port: port, which: which}
			}
		}
	}
	return threads
}

// guess says whose packet a thread sends itself, where that can be said, and notes that a reply was sent.
func (s scene) guess(e entry, threads map[int32]asked) *journey {
	short := hooks[e.What].kinds[0] == DevQueue && e.Len <= loaded
	one, known := threads[e.By]
	if short || !known || e.Interrupt {
		return nil
	}
	payload := max(int(e.Len)-headers, 0)
	if s.probers[e.By] {
		if _, here := s.devices[text(e.Name[:])]; !here && hooks[e.What].kinds[0] == DevQueue {
			return nil
		}
		return &journey{dir: directions[1], port: one.port, which: one.which, payload: payload}
	}
	if !one.reply {
		return nil
	}
	threads[e.By] = asked{one.port, one.which, false}
	return &journey{dir: directions[2], port: one.port, which: one.which, payload: payload}
}

func (s scene) told(j *journey, reasons map[uint32]string, names map[int32]string) (events []Event) {
	request, netns, number := j.dir == directions[1], uint32(0), 0
	for _, e := range j.entries {
		kind := hooks[e.What].kinds[0]
		event := Event{T: e.T, K: kind, Dir: j.dir, Port: j.port, Len: j.payload, CPU: int(e.CPU)}
		switch kind {
		case DevQueue, DevXmit:
			netns, number = s.place(text(e.Name[:]), j.which, !request)
		case NetifRx, NetifReceive:
			netns, number = s.place(text(e.Name[:]), j.which, request)
		case QdiscEnqueue, QdiscDequeue:
			number = int(e.Ifindex)
		case SockReady, Recv:
			number, netns = 0, s.netns
			if request {
				netns = s.targets[j.which].NetNS
			}
		case Drop:
			event.Reason = reasons[uint32(e.Value)]
			if event.Reason == "" {
				event.Reason = fmt.Sprintf("reason %d", uint32(e.Value))
			}
		}
		if kind == Recv {
			event.PID, event.Comm, event.Len = int(e.By), names[e.By], int(e.Len)
		}
		event.NetNS, event.Ifindex = netns, number
		events = append(events, event)
	}
	return events
}

// tasks gives the events of the targets' tasks among all, and of those that run on a CPU that one of them waits for.
func (s scene) tasks(entries []entry) (events []Event) {
	running, waiting := map[int32]entry{}, map[int32]bool{}
	space := func(pid int32) (uint32, bool) {
		which, ok := s.servers[pid]
		if !ok {
			return 0, false
		}
		return s.targets[which].NetNS, true
	}
	for _, e := range entries {
		kind := hooks[e.What].kinds[0]
		netns, ours := space(e.PID)
		event := Event{T: e.T, K: kind, NetNS: netns, CPU: int(e.CPU), PID: int(e.PID), Comm: text(e.Name[:])}
		switch kind {
		case Waking:
			if ours {
				event.PrevPID, event.PrevComm = int(e.By), text(running[e.CPU].comm(e.By))
				events = append(events, event)
			}
		case Wakeup:
			if ours {
				now := running[e.RunQueue]
				event.CPU, event.PrevPID, event.PrevComm = int(e.RunQueue), int(now.PID), text(now.Name[:])
				waiting[e.RunQueue] = true
				events = append(events, event)
			}
		case SwitchIn:
			state := stateOfFtrace(e.Value)
			running[e.CPU] = e
			out, was := space(e.Prev)
			if was {
				events = append(events, Event{
					T: e.T, K: SwitchOut, NetNS: out, CPU: int(e.CPU), PID: int(e.Prev), Comm: text(e.Other[:]),
					PrevPID: int(e.PID), PrevComm: text(e.Name[:]), PrevState: state,
				})
			}
			if ours || waiting[e.CPU] {
				event.PrevPID, event.PrevComm, event.PrevState = int(e.Prev), text(e.Other[:]), state
				events = append(events, event)
			}
			waiting[e.CPU] = was && state == "R" || waiting[e.CPU] && !ours
		}
	}
	return events
}

// comm is the name of the task that runs, if it is the one that is meant.
func (e entry) comm(pid int32) []byte {
	if e.PID != pid {
		return nil
	}
	return e.Name[:]
}

// stateOfFtrace names a state as sched_switch writes it: only what concerns people, and 0x100 for "made to stop".
func stateOfFtrace(bits uint64) string {
	if bits&0xff == 0x80 {
		return "I"
	}
	return state(bits & 0x7f)
}
