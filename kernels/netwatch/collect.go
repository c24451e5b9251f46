package main

import (
	"runtime"
	"sync"
	"time"

	"perfrun.dev/netwatch/node"
	"perfrun.dev/netwatch/probe"
	"perfrun.dev/netwatch/trace"
)

const (
	// early and later bound the events that belong to a spike: from before its probe was sent until its answer came,
	// or until so long after the alarm.
	early = int64(5 * time.Millisecond)
	later = int64(30 * time.Millisecond)
	// between is how often groups are looked at in calm times.
	between = 50 * time.Millisecond
)

// collector follows each spike from its alarm to its answer, and writes down what the kernel knows of it.
type collector struct {
	pods   []*pod
	source trace.Source
	lines  *lines
	spikes int
	open   map[int]*spike // by prober
	ready  chan *spike    // whose events are to be written
}

// mostLooked is at how many threads is looked at once, where it is not known which one serves.
const mostLooked = 16

// mostReady is how many spikes may wait for that.
const mostReady = 4096

// spike is one whose answer has not come yet, or whose events are not yet written.
type spike struct {
	id        int
	news      probe.News
	state     stateLine
	until     int64 // of its events
	collected bool
}

func newCollector(pods []*pod, source trace.Source, lines *lines) *collector {
	return &collector{pods: pods, source: source, lines: lines, open: map[int]*spike{}, ready: make(chan *spike, mostReady)}
}

// run ends when news is closed. The bell is rung whenever there is something new about it.
func (c *collector) run(news <-chan probe.News, bell *node.Bell) {
	// A processor kept busy by a real-time task must not keep this from being seen.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = node.RealTime(node.PriorityObserve)
	var writing sync.WaitGroup
	writing.Go(c.writeEvents)
	defer writing.Wait()
	defer close(c.ready)
	for looked := node.Now(); ; bell.Wait(c.nextDue(looked + int64(between))) {
		if !c.takeAll(news) {
			c.collectDue(1 << 62)
			return
		}
		now := node.Now()
		c.collectDue(now)
		if now >= looked+int64(between) {
			c.look()
			looked = now
		}
	}
}

// takeAll takes what there is, and says whether more may come.
func (c *collector) takeAll(news <-chan probe.News) bool {
	for {
		select {
		case each, more := <-news:
			if !more {
				return false
			}
			c.take(each)
		default:
			return true
		}
	}
}

// nextDue is when something is to be collected, or next if nothing is before.
func (c *collector) nextDue(next int64) int64 {
	for _, each := range c.open {
		if at := each.news.At + later; !each.collected {
			next = min(next, at)
		}
	}
	return next
}

func (c *collector) take(news probe.News) {
	pod := c.pods[news.Prober]
	switch news.Kind {
	case probe.Spike:
		c.spikes++
		s := &spike{id: c.spikes, news: news, state: c.snapshot(pod, c.spikes)}
		c.lines.write(spikeLine{
			"spike", s.id, news.At, pod.config.IP, news.Port, news.Seq, news.Intended, news.Sent, news.Deadline, news.At - news.Deadline,
		})
		c.open[news.Prober] = s
	case probe.Answer:
		s := c.open[news.Prober]
		if s == nil || s.news.Seq != news.Seq {
			return
		}
		at := news.At
		if news.Arrived > 0 {
			at = news.Arrived
		}
		c.lines.write(answerLine{"answer", s.id, news.At, news.Arrived, float64(at-news.Intended) / 1e3})
		c.collect(s, min(news.At, s.news.At+later))
		delete(c.open, news.Prober)
	case probe.Lost:
		c.lines.write(lostLine{"lost", news.At, pod.config.IP, news.Err.Error()})
	}
}

func (c *collector) snapshot(pod *pod, id int) stateLine {
	state := stateLine{Type: "state", Spike: id, At: node.Now(), Tasks: c.tasks(pod), Containers: []containerState{}}
	for _, each := range pod.containers {
		state.Containers = append(state.Containers, each.state())
	}
	state.Qdiscs = qdiscsOf(pod.space.Ifindex)
	return state
}

// tasks are what the threads are doing that may serve the pod's probes: one that neither stops nor goes on meanwhile has
// no events.
func (c *collector) tasks(pod *pod) []node.Task {
	found, suspects := []node.Task{}, pod.space.Tasks()
	reader := c.source.Reader(pod.number)
	if reader.Here > 0 {
		suspects = []int{reader.Here}
	}
	for _, thread := range suspects[:min(len(suspects), mostLooked)] {
		if task, there := node.LookAt(thread); there {
			if thread == reader.Here {
				task.PID = reader.Task // which is its number in events
			}
			found = append(found, task)
		}
	}
	return found
}

// look keeps the counts of calm times, against which those of a spike are seen.
func (c *collector) look() {
	for index, pod := range c.pods {
		if _, busy := c.open[index]; busy {
			continue
		}
		for _, each := range pod.containers {
			each.look()
		}
	}
}

func (c *collector) collectDue(now int64) {
	for _, each := range c.open {
		if now >= each.news.At+later {
			c.collect(each, min(each.news.At+later, node.Now()))
		}
	}
}

// collect looks at the groups once more, and leaves the rest to writeEvents: a source may take its time, and the next
// alarm does not wait for it.
func (c *collector) collect(s *spike, to int64) {
	if s.collected {
		return
	}
	s.collected, s.until, s.state.After = true, to, node.Now()
	for index, each := range c.pods[s.news.Prober].containers {
		s.state.Containers[index].After, s.state.Containers[index].TimeLate = each.counts()
	}
	c.ready <- s
}

func (c *collector) writeEvents() {
	var before uint64
	for s := range c.ready {
		from := s.news.Sent - early
		events := c.source.Window(from, s.until)
		if events == nil {
			events = []trace.Event{}
		}
		lost := c.source.Lost()
		c.lines.write(eventsLine{"events", s.id, from, s.until, lost == before, c.source.Reader(s.news.Prober).Task, lost, events})
		c.lines.write(s.state)
		before = lost
	}
}
