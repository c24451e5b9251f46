package main

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"
)

// Outcome is how a request, or an attempt, ended.
type Outcome uint8

// A request ends in exactly one of these; inFlight is left to those that were on their way when the run was stopped.
const (
	inFlight Outcome = iota
	ok
	failed
	timedOut
	neverSent
	outcomes
)

const (
	mostServers = 4096
	mostErrors  = 64
	// mostUnanswered bounds the list of requests without a good answer, in each loop and in all.
	mostUnanswered = 20_000
	// coarse histograms have 8 buckets per doubling, from 1 µs: 9 % wide, good enough to draw.
	perDoubling   = 8
	coarseBuckets = 32 * perDoubling
)

// Request is one scheduled request. Times are nanoseconds after the common start.
type Request struct {
	number   uint64
	intended int64
	handled  int64 // when the generator turned to it
	sent     int64 // when its first attempt began, -1 before
	began    int64 // when its current attempt began
	attempt  uint8
	started  bool
	first    Outcome
	outcome  Outcome
	status   uint16
	server   uint16
	conn     *conn

	older, newer   *Request // among all that are outstanding, by deadline
	earlier, later *Request // among those on the wire, by the attempt's time limit
	retryAt        int64
	queued         bool
}

// Unanswered is the number of a request that got no good answer, and its outcome.
type Unanswered [2]uint64

// Window counts what happened in one stretch of time.
type Window struct {
	Intended [outcomes]uint32 // by outcome, of requests that were due in this window
	Done     uint32           // good answers that arrived in this window
	servers  []uint32         // of these, by server
	latency  *[coarseBuckets]uint32
}

// Recorder keeps the books of one loop; it belongs to that loop alone.
type Recorder struct {
	config  *Config
	counts  [outcomes]uint64
	first   [outcomes]uint64
	retries uint64
	refused uint64 // retries that the budget did not allow
	held    uint64 // requests that waited because max_connections were busy
	sent    uint64
	lastOut int64 // when the last first attempt began

	latency, firstLatency, lateness *Distribution
	edges                           []int64 // where each segment ends

	unanswered []Unanswered
	truncated  uint64

	windows  []Window
	known    map[string]uint16
	names    *Names
	errors   map[string]uint64
	sheet    *sheet
	window   int64
	deadline int64
}

func newRecorder(c *Config, names *Names, records *Records) *Recorder {
	r := &Recorder{
		config: c, latency: newDistribution(c), firstLatency: newDistribution(c), lateness: newDistribution(c),
		known: map[string]uint16{}, names: names, errors: map[string]uint64{}, unanswered: []Unanswered{},
		window: int64(c.Window * float64(time.Second)), deadline: c.deadline(),
	}
	end := 0.0
	for _, segment := range c.Segments {
		end += segment.Seconds
		r.edges = append(r.edges, int64(math.Round(end*1e9)))
	}
	if records != nil {
		r.sheet = &sheet{records: records, chunk: make([]byte, 0, sheetRecords*recordSize)}
	}
	return r
}

func (r *Recorder) at(t int64) *Window {
	index := int(max(t, 0) / r.window)
	for len(r.windows) <= index {
		r.windows = append(r.windows, Window{})
	}
	return &r.windows[index]
}

// segment returns the one in which a request was intended.
func (r *Recorder) segment(intended int64) int {
	index := 0
	for index < len(r.edges)-1 && intended >= r.edges[index] {
		index++
	}
	return index
}

// handle notes that the generator turned to a request: what passed since the intended time is its own lateness.
func (r *Recorder) handle(q *Request, now int64) {
	q.handled = now
	r.lateness.record(r.segment(q.intended), max(now-q.intended, 0)/1000)
}

// begin notes the first attempt.
func (r *Recorder) begin(q *Request, now int64) {
	q.sent = now
	r.sent++
	r.lastOut = max(r.lastOut, now)
}

// firstDone notes how the first attempt ended; one without a good answer counts as slow as the deadline.
func (r *Recorder) firstDone(q *Request, outcome Outcome, now int64) {
	q.first = outcome
	r.first[outcome]++
	r.firstLatency.record(r.segment(q.intended), r.counted(q, outcome, now)/1000)
}

func (r *Recorder) counted(q *Request, outcome Outcome, now int64) int64 {
	if outcome == ok {
		return max(now-q.intended, 0)
	}
	return max(now-q.intended, r.deadline)
}

// finish closes the account of a request.
func (r *Recorder) finish(q *Request, outcome Outcome, now int64) {
	q.outcome = outcome
	r.counts[outcome]++
	due := r.at(q.intended)
	due.Intended[outcome]++
	if outcome != inFlight {
		took := r.counted(q, outcome, now) / 1000
		r.latency.record(r.segment(q.intended), took)
		if due.latency == nil {
			due.latency = new([coarseBuckets]uint32)
		}
		due.latency[coarse(took)]++
	}
	if outcome != ok {
		r.miss(q.number, outcome)
	}
	if outcome == ok {
		done := r.at(now)
		done.Done++
		for len(done.servers) <= int(q.server) {
			done.servers = append(done.servers, 0)
		}
		done.servers[q.server]++
	}
	if r.sheet != nil {
		r.sheet.add(q, now)
	}
}

// abandon accounts for the rest of a schedule that is not run any more: for the request that is due at next, and those
// after it, which are numbered on from serial.
func (r *Recorder) abandon(stream *Stream, next int64, serial, stride uint64) {
	for more := true; more; next, more = stream.next() {
		r.counts[neverSent]++
		r.at(next).Intended[neverSent]++
		r.miss(serial, neverSent)
		serial += stride
	}
}

// miss notes a request that got no good answer, so that the servers' logs can be asked about it.
func (r *Recorder) miss(number uint64, outcome Outcome) {
	if len(r.unanswered) < mostUnanswered {
		r.unanswered = append(r.unanswered, Unanswered{number, uint64(outcome)})
	} else {
		r.truncated++
	}
}

func (r *Recorder) problem(kind string) {
	if _, known := r.errors[kind]; !known && len(r.errors) >= mostErrors {
		kind = "other"
	}
	r.errors[kind]++
}

// Names numbers the servers that answered, for all loops alike. Past the bound they share number 0, which has no name.
type Names struct {
	mutex  sync.Mutex
	number map[string]uint16
	list   []string
}

func newNames() *Names { return &Names{number: map[string]uint16{"": 0}, list: []string{""}} }

func (n *Names) of(name string) uint16 {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if index, known := n.number[name]; known {
		return index
	}
	if len(n.list) >= mostServers {
		return 0
	}
	index := uint16(len(n.list))
	n.list = append(n.list, name)
	n.number[name] = index
	return index
}

func (r *Recorder) server(name []byte) uint16 {
	if index, known := r.known[string(name)]; known {
		return index
	}
	index := r.names.of(string(name))
	if len(r.known) < mostServers {
		r.known[string(name)] = index
	}
	return index
}

// coarse returns the bucket of a time in microseconds: floor(8 · log2(t)), from tables, not logarithms.
func coarse(micros int64) int {
	value, doublings := uint64(max(micros, 1)), 0
	for shifted := value; shifted > 1; shifted >>= 1 {
		doublings++
	}
	// The mantissa, 16 bits after the point, against 2^(k/8).
	mantissa := value << 16 >> doublings
	step := 0
	for step+1 < perDoubling && mantissa >= eighths[step+1] {
		step++
	}
	return min(doublings*perDoubling+step, coarseBuckets-1)
}

// eighths holds 65536 · 2^(k/8), rounded up.
var eighths = [perDoubling]uint64{65536, 71468, 77936, 84990, 92682, 101071, 110218, 120194}

func (r *Recorder) merge(other *Recorder) {
	for i := range r.counts {
		r.counts[i] += other.counts[i]
		r.first[i] += other.first[i]
	}
	r.retries += other.retries
	r.refused += other.refused
	r.held += other.held
	r.sent += other.sent
	r.lastOut = max(r.lastOut, other.lastOut)
	r.latency.merge(other.latency)
	r.firstLatency.merge(other.firstLatency)
	r.lateness.merge(other.lateness)
	r.unanswered = append(r.unanswered, other.unanswered...)
	slices.SortFunc(r.unanswered, func(a, b Unanswered) int { return cmp.Compare(a[0], b[0]) })
	kept := min(len(r.unanswered), mostUnanswered)
	r.truncated += other.truncated + uint64(len(r.unanswered)-kept)
	r.unanswered = r.unanswered[:kept]
	for kind, count := range other.errors {
		r.errors[kind] += count
	}
	for i := range other.windows {
		theirs, ours := &other.windows[i], r.at(int64(i)*r.window)
		ours.Done += theirs.Done
		for k := range ours.Intended {
			ours.Intended[k] += theirs.Intended[k]
		}
		for server, count := range theirs.servers {
			for len(ours.servers) <= server {
				ours.servers = append(ours.servers, 0)
			}
			ours.servers[server] += count
		}
		if theirs.latency != nil {
			if ours.latency == nil {
				ours.latency = new([coarseBuckets]uint32)
			}
			for k, count := range theirs.latency {
				ours.latency[k] += count
			}
		}
	}
}

// Budget bounds retries to a share of the requests, so that a generator never adds a storm to an outage.
type Budget struct {
	share, tokens, most float64
}

func newBudget(c *Config) *Budget {
	// The reserve lets the first failures be retried as if a hundred requests had gone well before.
	return &Budget{share: c.RetryBudget, tokens: 100 * c.RetryBudget, most: 1000 * c.RetryBudget}
}

func (b *Budget) earn() { b.tokens = min(b.tokens+b.share, b.most) }

func (b *Budget) spend() bool {
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
