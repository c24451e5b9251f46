// Package probe asks pods for an answer again and again, and notices when one does not come in time.
//
// A packet that is held up sends no event, so that no trace can tell of it while it lasts. What tells is a timer: the
// alarm is raised when it ends before the answer is there. It is the only thing that wakes the probers' thread: an
// answer waits at its socket, with the kernel's time of its arrival, until the next probe is due. To be woken by each
// answer would cost as much again.
package probe

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"perfrun.dev/netwatch/node"
)

const (
	// abandon is when a probe is given up and a new connection made.
	abandon = int64(time.Second)
	// settle is for how long a pod has to answer well before another alarm is raised for it.
	settle = int64(10 * time.Millisecond)
	// stalled is the lateness of the timer from which this thread itself was held up, and grace is what the kernel
	// then gets to deliver what came meanwhile.
	stalled = int64(500 * time.Microsecond)
	grace   = int64(300 * time.Microsecond)
	// lost is for how long connections have to fail before the pod is said to be gone.
	lost = int64(time.Second)
)

// Kinds of news.
const (
	Spike  = "spike"
	Answer = "answer"
	Lost   = "lost"
)

// News is what the prober tells of. All times are CLOCK_MONOTONIC in nanoseconds.
type News struct {
	Kind     string
	Prober   int
	At       int64 // when it was noticed
	Seq      uint64
	Port     uint16
	Intended int64 // by the schedule
	Sent     int64
	Deadline int64
	Arrived  int64 // of an answer: when the kernel received it, 0: unknown
	Err      error // of a pod that is lost
}

// Books are what a prober counted.
type Books struct {
	Probes, Answered, Missed, Alarms, Stalled uint64
	LateMax                                   int64 // from when a probe was due until it was sent, once alarms are raised
	Latency                                   *hdr.Histogram
}

// Trace is what sees the probes' packets on their way.
type Trace interface {
	// Ask is called before target number n is asked.
	Ask(n int)
}

// Prober sends one probe at a time to one address. A Crew lets it.
type Prober struct {
	number  int
	to      netip.AddrPort
	request []byte
	told    func(port uint16)
	trace   Trace
	tell    func(News)

	deadline  atomic.Int64 // 0: no alarms yet
	calmSince atomic.Int64 // 0: not calm
	taking    atomic.Bool
	taken     chan *hdr.Histogram
	dead      atomic.Bool
	pausing   atomic.Bool
	paused    atomic.Bool
	sent      atomic.Int64 // since the crew was last asked

	conn   *connection
	answer answer
	timed  timed
	buffer []byte
	books  Books

	next        int64
	slot        int64 // of the schedule, whose probe is to be sent
	owed        bool  // until the one before it is answered
	free        int64 // when it was
	outstanding bool
	written     bool
	overdue     bool
	extended    int64
	current     News
	goodSince   int64 // since the last alarm; 0: not yet
	quiet       bool
	failing     int64 // since when connections fail, 0: they do not
}

// New makes the prober that asks for path. told learns of each local port before it is used. tell is told the news, and
// must not wait for anybody: a probe may be due.
func New(number int, to netip.AddrPort, path string, told func(uint16), trace Trace, tell func(News)) *Prober {
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: perfrun-netwatch\r\n\r\n", path, to)
	return &Prober{
		number: number, to: to, request: []byte(request), told: told, trace: trace, tell: tell,
		taken: make(chan *hdr.Histogram, 1), buffer: make([]byte, 64<<10), books: Books{Latency: NewHistogram()},
	}
}

// NewHistogram holds nanoseconds up to a minute with three significant digits.
func NewHistogram() *hdr.Histogram { return hdr.New(1000, int64(time.Minute), 3) }

// Arm sets how long after it was sent a probe is overdue; before, there are no alarms.
func (p *Prober) Arm(deadline time.Duration) { p.deadline.Store(int64(deadline)) }

// Calm says for how long all answers have come in time.
func (p *Prober) Calm(now int64) time.Duration {
	since := p.calmSince.Load()
	if since == 0 {
		return 0
	}
	return time.Duration(now - since)
}

// Pause stops the sending and says whether nothing is outstanding any more.
func (p *Prober) Pause() bool {
	p.pausing.Store(true)
	return p.paused.Load()
}

// Resume sends again; whether the pod is calm has to be seen anew.
func (p *Prober) Resume() {
	p.calmSince.Store(0)
	p.pausing.Store(false)
}

// Take gives the latencies since it was last called, which the books then no longer hold.
func (p *Prober) Take() *hdr.Histogram {
	p.taking.Store(true)
	return <-p.taken
}

// Gone tells whether the pod has refused connections for so long that it is given up.
func (p *Prober) Gone() bool { return p.dead.Load() }

// turn does what is due, and says when something is due again. While the pod answers in time, that is once an interval.
func (p *Prober) turn(now, interval int64) (due int64) {
	if p.taking.CompareAndSwap(true, false) {
		p.taken <- p.books.Latency
		p.books.Latency = NewHistogram()
	}
	if p.outstanding {
		p.look(now)
	}
	if now >= p.next {
		p.slot, p.owed = p.next, true
		p.schedule(now, interval)
	}
	// A probe that is still under way when the next is due takes nobody's turn: to wait for the next but one would leave
	// the pod unwatched for an interval.
	if p.owed && !p.outstanding {
		p.owed = false
		p.begin(now)
	}
	if p.outstanding && !p.overdue && p.current.Deadline > 0 {
		return min(p.next, max(p.current.Deadline, p.extended))
	}
	return p.next
}

// begin sends the next probe, unless it is not wanted.
func (p *Prober) begin(now int64) {
	if p.paused.Store(p.pausing.Load()); p.paused.Load() {
		return
	}
	p.send(now)
}

// look reads the answer if it is there, and sees whether it should be.
func (p *Prober) look(now int64) {
	p.receive()
	if !p.outstanding {
		return
	}
	if now >= p.current.Sent+abandon {
		p.miss(now, fmt.Errorf("no answer for %v", time.Duration(abandon)))
		return
	}
	if p.overdue || p.current.Deadline == 0 || now < max(p.current.Deadline, p.extended) {
		return
	}
	if p.extended == 0 && now-p.current.Deadline > stalled {
		p.extended = now + grace
		return
	}
	p.alarm(node.Now())
}

func (p *Prober) alarm(now int64) {
	p.overdue = true
	p.disturbed()
	if p.quiet {
		return
	}
	p.quiet = true
	p.books.Alarms++
	p.current.Kind, p.current.At = Spike, now
	p.tell(p.current)
}

// disturbed begins the waiting for good answers anew.
func (p *Prober) disturbed() {
	p.calmSince.Store(0)
	p.goodSince = 0
}

func (p *Prober) send(now int64) {
	// One that had to wait for the answer before it is not late.
	if p.deadline.Load() > 0 && p.free <= p.slot {
		p.books.LateMax = max(p.books.LateMax, now-p.slot)
	}
	p.books.Probes++
	p.sent.Add(1)
	p.current = News{Prober: p.number, Seq: p.books.Probes, Intended: p.slot, Sent: now}
	p.outstanding, p.written, p.overdue, p.extended = true, false, false, 0
	p.answer.reset()
	p.trace.Ask(p.number)
	if p.conn == nil {
		p.dial(now)
	}
	// Counted from when the packet is handed over: a thread that was held up just before would else call it late. Handing
	// it over counts, for the packet may wait meanwhile behind others that the kernel has this thread carry.
	handed := node.Now()
	if p.conn != nil && p.conn.connected {
		p.write()
	}
	if p.conn != nil {
		p.current.Port = p.conn.port
	}
	if deadline := p.deadline.Load(); deadline > 0 {
		p.current.Deadline = handed + deadline
	}
}

func (p *Prober) dial(now int64) {
	conn, err := dial(p.to, p.told)
	if err != nil {
		p.miss(now, err)
		return
	}
	p.conn = conn
}

func (p *Prober) write() {
	p.written = true
	if errno := write(p.conn.fd, p.request); errno != 0 {
		p.miss(node.Now(), errno)
	}
}

// schedule finds the next moment of the schedule: those that passed are left out.
func (p *Prober) schedule(now, interval int64) {
	p.next += interval
	if behind := now - p.next; behind > 0 {
		p.next += (behind + interval - 1) / interval * interval
	}
}

// Add takes another prober's counts into these.
func (b *Books) Add(other Books) {
	b.Probes += other.Probes
	b.Answered += other.Answered
	b.Missed += other.Missed
	b.Alarms += other.Alarms
	b.Stalled += other.Stalled
	b.LateMax = max(b.LateMax, other.LateMax)
	b.Latency.Merge(other.Latency)
}
