// Package trace tells what the kernel did with a prober's packets and with the tasks that answer them.
//
// There are three sources, because not every kernel offers every one: BPF programs at typed tracepoints (tp_btf), the
// same programs at raw tracepoints, and an instance of ftrace. All of them give the same events.
package trace

import (
	"net/netip"
	"time"
)

// The kinds of event, in the order in which a packet meets them.
const (
	DevQueue     = "dev_queue"     // the stack hands the packet to the device's queue
	QdiscEnqueue = "qdisc_enqueue" // the queueing discipline keeps it
	QdiscDequeue = "qdisc_dequeue" // and gives it back
	DevXmit      = "dev_xmit"      // the driver takes it
	NetifRx      = "netif_rx"      // the receiving device puts it into a CPU's backlog, for the softirq
	NetifReceive = "netif_receive" // the softirq (or the driver's own) takes it up
	SockReady    = "sock_ready"    // TCP has the segment and processes it for its socket
	Recv         = "recv"          // the socket's bytes reached the task that reads it
	Drop         = "drop"          // the kernel threw it away; Reason says why
	Waking       = "waking"        // somebody wakes a task; CPU, PrevPID and PrevComm are the waker's
	Wakeup       = "wakeup"        // the task is on a run queue; CPU is the one whose queue that is
	SwitchIn     = "switch_in"     // the task runs; PrevPID, PrevComm and PrevState are of the task that ran before
	SwitchOut    = "switch_out"    // the task no longer runs; PrevPID and PrevComm are of the task that runs instead
)

// Event is one thing that the kernel did.
type Event struct {
	T         int64  `json:"t"` // CLOCK_MONOTONIC, nanoseconds
	K         string `json:"k"` // one of the kinds above
	NetNS     uint32 `json:"netns,omitempty"`
	Ifindex   int    `json:"ifindex,omitempty"`
	Dir       string `json:"dir,omitempty"`  // "request" towards the target, "reply" towards the prober
	Seq       uint32 `json:"seq,omitempty"`  // TCP's sequence number
	Port      uint16 `json:"port,omitempty"` // the prober's port
	Len       int    `json:"len,omitempty"`  // payload bytes; bytes received for recv
	CPU       int    `json:"cpu"`
	PID       int    `json:"pid,omitempty"` // the task (thread), of waking, wakeup and switches the one that they are about
	Comm      string `json:"comm,omitempty"`
	PrevPID   int    `json:"prev_pid,omitempty"`
	PrevComm  string `json:"prev_comm,omitempty"`
	PrevState string `json:"prev_state,omitempty"` // R (preempted, throttled or frozen), S, D, …
	Reason    string `json:"reason,omitempty"`     // the kernel's own name, without SKB_DROP_REASON_
}

// Target is a place that a prober asks.
type Target struct {
	NetNS uint32 // the inode of its network namespace
	Addr  netip.AddrPort
	PIDs  []int    // the tasks (threads) that live there; only ftrace needs them
	Devs  []string // the devices that its packets cross; only ftrace needs them, and takes all where there are none
}

// The sources, best first.
const (
	SourceBTF    = "tp_btf"
	SourceRaw    = "raw_tp"
	SourceFtrace = "ftrace"
)

// Options say what to open; the zero value is the best source that the kernel offers, with room for seconds.
type Options struct {
	Force string        // one of the sources, or "" for the best that works
	Bytes int           // of each CPU's buffer that the kernel writes into; 0 is what suits the source
	Keep  time.Duration // how far back Window can look where the buffers are read all the time (ftrace); 0 is 3 s
}

// Facilities are what a source offers here.
type Facilities struct {
	Source  string            `json:"source"`
	Events  []string          `json:"events"`  // kinds that can be seen, sorted
	Missing map[string]string `json:"missing"` // kinds and sources that cannot, with the reason
	Kernel  string            `json:"kernel"`
}

// Reader is a task by its number in the root namespace of processes, as events have it, and by that in this program's,
// where the node has one of its own; 0: not known.
type Reader struct{ Task, Here int }

// Source is an open source of events. It watches nothing until Watch is called.
type Source interface {
	// Watch replaces what is watched: packets between one of ports (the probers', in any network namespace) and a
	// target, and tasks of the targets' network namespaces. Segments of more than 16 KiB are taken for somebody's bulk, and
	// those without a payload are left out, but for drops.
	// It is called on a thread that is in the probers' network namespace: its routes say which address they have.
	Watch(targets []Target, ports []uint16) error
	// Ask is called before target number n is asked: from then until the answer is at the prober's socket everything
	// about it is recorded, and between only which of its tasks were made to stop. Ftrace records always.
	Ask(n int)
	// Reader is the task that read target number n's last request.
	Reader(n int) Reader
	// Cost is what share of a CPU the programs took while they were looked at for so long; false: that is not known.
	Cost(long time.Duration) (float64, bool)
	// Window gives the events of [from, to] (CLOCK_MONOTONIC) in the order of time, all that the kernel had written when
	// it was called and that later ones have not overwritten.
	Window(from, to int64) []Event
	// Lost counts the events that are known to be missing from windows: at least one for each CPU whose were overwritten.
	Lost() uint64
	Facilities() Facilities
	// Close ends the source and leaves nothing in the kernel.
	Close() error
}
