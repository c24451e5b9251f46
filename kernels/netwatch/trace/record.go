package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// record is struct event of bpf/event.h.
type record struct {
	T                              int64
	Kind, NetNS, Ifindex, CPU, Seq uint32
	Port, Dir                      uint16
	Len, PID, PrevPID, Value       uint32
	Comm, PrevComm                 [16]byte
}

var (
	// By enum kind and enum direction of bpf/event.h.
	kinds = []string{
		"", DevQueue, QdiscEnqueue, QdiscDequeue, DevXmit, NetifRx, NetifReceive, SockReady, Recv, Drop, Waking, Wakeup,
		SwitchIn, SwitchOut,
	}
	directions = []string{"", "request", "reply"}
)

func (r record) at() int64 { return r.T }

func decode(raw []byte) (r record) {
	n := binary.LittleEndian
	r.T = int64(n.Uint64(raw))
	r.Kind, r.NetNS, r.Ifindex = n.Uint32(raw[8:]), n.Uint32(raw[12:]), n.Uint32(raw[16:])
	r.CPU, r.Seq = n.Uint32(raw[20:]), n.Uint32(raw[24:])
	r.Port, r.Dir = n.Uint16(raw[28:]), n.Uint16(raw[30:])
	r.Len, r.PID, r.PrevPID, r.Value = n.Uint32(raw[32:]), n.Uint32(raw[36:]), n.Uint32(raw[40:]), n.Uint32(raw[44:])
	copy(r.Comm[:], raw[48:64])
	copy(r.PrevComm[:], raw[64:80])
	return r
}

func (r record) event(kernel *kernelTypes) Event {
	e := Event{
		T: r.T, K: kinds[r.Kind], NetNS: r.NetNS, Ifindex: int(r.Ifindex), Dir: directions[r.Dir], Seq: r.Seq,
		Port: r.Port, Len: int(r.Len), CPU: int(r.CPU), PID: int(r.PID), Comm: text(r.Comm[:]),
		PrevPID: int(r.PrevPID), PrevComm: text(r.PrevComm[:]),
	}
	switch e.K {
	case SwitchIn, SwitchOut:
		e.PrevState = state(uint64(r.Value))
	case Drop:
		e.Reason = kernel.reason(r.Value)
	}
	return e
}

func text(name []byte) string {
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return string(name)
}

// The bits of a task's state, as include/linux/sched.h has them.
var states = []struct {
	bit  uint64
	name string
}{{0x01, "S"}, {0x02, "D"}, {0x04, "T"}, {0x08, "t"}, {0x10, "X"}, {0x20, "Z"}, {0x40, "P"}, {0x8000, "F"}}

// state names what a task was in when it stopped running: R is running still, so that it was made to stop.
func state(bits uint64) string {
	const idle = 0x402
	if bits&idle == idle {
		return "I"
	}
	for _, one := range states {
		if bits&one.bit != 0 {
			return one.name
		}
	}
	if bits == 0 {
		return "R"
	}
	return fmt.Sprintf("0x%x", bits)
}
