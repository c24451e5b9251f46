package main

import (
	"encoding/json"
	"io"
	"runtime"
	"sync"

	"perfrun.dev/netwatch/node"
	"perfrun.dev/netwatch/topology"
	"perfrun.dev/netwatch/trace"
)

// lines writes one JSON object a line, whoever has something to say. Nobody who watches waits for the reader: what it
// does not take yet is kept.
type lines struct {
	to     io.Writer
	broken func() // called when nobody reads any more

	mutex  sync.Mutex
	change sync.Cond
	kept   [][]byte
	bytes  int // of those kept, and of the one that is being written
	closed bool
	ended  chan struct{}
}

// mostBytes may be kept; then whoever has more to say waits.
const mostBytes = 32 << 20

func newLines(to io.Writer, broken func()) *lines {
	l := &lines{to: to, broken: broken, ended: make(chan struct{})}
	l.change.L = &l.mutex
	go l.run()
	return l
}

func (l *lines) write(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	text = append(text, '\n')
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for l.bytes > mostBytes {
		l.change.Wait()
	}
	l.kept = append(l.kept, text)
	l.bytes += len(text)
	l.change.Broadcast()
}

// close waits until all is written.
func (l *lines) close() {
	l.mutex.Lock()
	l.closed = true
	l.change.Broadcast()
	l.mutex.Unlock()
	<-l.ended
}

func (l *lines) run() {
	defer close(l.ended)
	// A processor kept busy by a real-time task must not keep this from being written.
	runtime.LockOSThread()
	_ = node.RealTime(node.PriorityObserve)
	for {
		text, more := l.next()
		if !more {
			return
		}
		if _, err := l.to.Write(text); err != nil {
			l.broken()
		}
		l.mutex.Lock()
		l.bytes -= len(text)
		l.change.Broadcast()
		l.mutex.Unlock()
	}
}

func (l *lines) next() (text []byte, more bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for len(l.kept) == 0 && !l.closed {
		l.change.Wait()
	}
	if len(l.kept) == 0 {
		return nil, false
	}
	text, l.kept = l.kept[0], l.kept[1:]
	return text, true
}

type facilitiesLine struct {
	Type string `json:"type"`
	trace.Facilities
	RealTime string `json:"real_time"` // why the probers' threads are no real-time threads, "" when they are
	Boot     string `json:"boot_id"`
}

type topologyLine struct {
	Type string `json:"type"`
	topology.Map
}

type summary struct {
	N   int64   `json:"n"`
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
	P3  float64 `json:"p999_us"`
	Max float64 `json:"max_us"`
}

type readyLine struct {
	Type     string             `json:"type"`
	At       int64              `json:"at_ns"`
	Baseline summary            `json:"baseline"`
	Pods     map[string]summary `json:"pods"`
	Deadline float64            `json:"deadline_us"`
}

type spikeLine struct {
	Type     string `json:"type"`
	ID       int    `json:"id"`
	At       int64  `json:"at_ns"`
	IP       string `json:"ip"`
	Port     uint16 `json:"port"` // the prober's
	Seq      uint64 `json:"seq"`  // the probe's number
	Intended int64  `json:"intended_ns"`
	Sent     int64  `json:"sent_ns"`
	Deadline int64  `json:"deadline_ns"`
	Late     int64  `json:"late_ns"`
}

type answerLine struct {
	Type    string  `json:"type"`
	Spike   int     `json:"spike"`
	At      int64   `json:"at_ns"`
	Arrived int64   `json:"rx_ns"`
	Latency float64 `json:"latency_us"`
}

type eventsLine struct {
	Type     string        `json:"type"`
	Spike    int           `json:"spike"`
	From     int64         `json:"from_ns"`
	To       int64         `json:"to_ns"`
	Complete bool          `json:"complete"`
	Reader   int           `json:"reader"`
	Lost     uint64        `json:"lost"`
	Events   []trace.Event `json:"events"`
}

type stateLine struct {
	Type       string           `json:"type"`
	Spike      int              `json:"spike"`
	At         int64            `json:"at_ns"`
	After      int64            `json:"after_ns"`
	Tasks      []node.Task      `json:"tasks"`
	Containers []containerState `json:"containers"`
	Qdiscs     []qdiscState     `json:"qdiscs"`
}

type lostLine struct {
	Type    string `json:"type"`
	At      int64  `json:"at_ns"`
	IP      string `json:"ip"`
	Message string `json:"message"`
}

type errorLine struct {
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

type endLine struct {
	Type     string      `json:"type"`
	At       int64       `json:"at_ns"`
	Stopped  bool        `json:"stopped"`
	Probes   uint64      `json:"probes"`
	Answered uint64      `json:"answered"`
	Missed   uint64      `json:"missed"`
	Alarms   uint64      `json:"alarms"`
	Stalled  uint64      `json:"stalled"`
	Budget   budgetBooks `json:"budget"`
	Latency  string      `json:"latency_hdr"`
	CPU      float64     `json:"cpu_seconds"`
	Lost     uint64      `json:"lost_events"`
	LateMax  float64     `json:"late_max_us"`
	Clean    bool        `json:"clean"`
}
