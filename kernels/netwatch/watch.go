package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"perfrun.dev/netwatch/inject"
	"perfrun.dev/netwatch/node"
	"perfrun.dev/netwatch/probe"
	"perfrun.dev/netwatch/topology"
	"perfrun.dev/netwatch/trace"
)

const (
	// goal is within what a spike is to be noticed, margin what it takes beside interval and deadline.
	goal   = 5 * time.Millisecond
	margin = 500 * time.Microsecond
	// calm is for how long all pods answer in time before a spike is made, and patience for how long that is waited for.
	calm     = 50 * time.Millisecond
	patience = 8 * time.Second
	// places are more than there are goroutines.
	places = 16
	// afterwards the last spike's answer may still come.
	afterwards = 500 * time.Millisecond
	fewest     = 10 // answers without which there is no baseline
)

// failure ends a watch, with a reason that the caller knows.
type failure struct{ reason, message string }

func (f *failure) Error() string { return f.message }

// watch is one, from its start to its end.
type watch struct {
	config *Config
	lines  *lines
	source trace.Source
	pods   []*pod
	crew   *probe.Crew
	budget *budget
	news   chan probe.News
	bell   *node.Bell // rung for news
	mutex  sync.Mutex
	ports  []uint16 // of the probers
	told   []trace.Target
}

func runWatch(ctx context.Context, c *Config, l *lines) error {
	bell, err := node.NewBell()
	if err != nil {
		return err
	}
	defer bell.Close()
	w := &watch{config: c, lines: l, news: make(chan probe.News, 4096), bell: bell, ports: make([]uint16, len(c.Pods))}
	pids := make([]int, 0, len(c.Pods))
	for _, each := range c.Pods {
		pids = append(pids, each.PID)
	}
	seen, err := topology.Read(pids)
	if err != nil {
		return &failure{"NoTopology", err.Error()}
	}
	w.pods = findPods(c, seen)
	for _, each := range w.pods {
		w.told = append(w.told, each.watched(c.Probe.Port))
	}
	if w.source, err = trace.Open(trace.Options{Force: c.Source}); err != nil {
		return &failure{"NoEventSource", err.Error()}
	}
	defer w.source.Close()
	// The probers' thread needs no other's place in Go's scheduler to go on: one that others hold is of no use while they
	// wait for a processor.
	runtime.GOMAXPROCS(runtime.NumCPU() + places)
	finish := w.startProbers()
	defer finish()
	w.facilities()
	l.write(topologyLine{"topology", seen})
	if err := w.baseline(ctx); err != nil {
		return err
	}
	var collecting sync.WaitGroup
	collecting.Go(func() { newCollector(w.pods, w.source, l).run(w.news, bell) })
	keeping, enough := context.WithCancel(ctx)
	var kept sync.WaitGroup
	kept.Go(func() { w.budget.run(keeping) })
	failed := w.spikes(ctx)
	enough()
	kept.Wait()
	total := finish()
	close(w.news)
	bell.Ring()
	collecting.Wait()
	w.end(total, ctx.Err() != nil, failed == nil)
	return failed
}

// startProbers starts the thread that probes; the function ends it, and gives what was counted.
func (w *watch) startProbers() (finish func() probe.Books) {
	var probers []*probe.Prober
	for index, each := range w.pods {
		told := func(port uint16) { w.port(index, port) }
		each.prober = probe.New(index, each.address(w.config.Probe.Port), w.config.Probe.Path, told, w.source, w.tell)
		probers = append(probers, each.prober)
	}
	w.crew = probe.NewCrew(millis(w.config.Probe.Interval), probers...)
	total := make(chan probe.Books, 1)
	go func() { total <- w.crew.Run() }()
	return sync.OnceValue(func() probe.Books {
		w.crew.Stop()
		return <-total
	})
}

// tell is told by the probers' thread what is new.
func (w *watch) tell(news probe.News) {
	select {
	case w.news <- news:
	default:
		// Nobody has read thousands of news: one more is of no use, and waiting would be a lie about the next probe.
	}
	w.bell.Ring()
}

// port is told by a prober before it uses a new one.
func (w *watch) port(index int, port uint16) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.ports[index] = port
	var used []uint16
	for _, each := range w.ports {
		if each > 0 {
			used = append(used, each)
		}
	}
	_ = w.source.Watch(w.told, used)
}

func (w *watch) facilities() {
	line := facilitiesLine{Type: "facilities", Facilities: w.source.Facilities(), Boot: node.Boot()}
	if err := w.crew.Began(); err != nil {
		line.RealTime = err.Error()
	}
	w.lines.write(line)
}

// baseline sees how fast the pods answer, and sets the deadline by it.
func (w *watch) baseline(ctx context.Context) error {
	// The first probes find caches cold, and connections not yet made.
	pause(ctx, millis(w.config.Probe.Baseline/10))
	for _, each := range w.pods {
		each.prober.Take()
	}
	pause(ctx, millis(w.config.Probe.Baseline))
	all, ready := probe.NewHistogram(), readyLine{Type: "ready", Pods: map[string]summary{}}
	for _, each := range w.pods {
		latencies := each.prober.Take()
		if latencies.TotalCount() < fewest {
			w.lines.write(lostLine{"lost", node.Now(), each.config.IP, fmt.Sprintf(
				"pod %s gave %d answers to the prober in %v ms", each, latencies.TotalCount(), w.config.Probe.Baseline)})
			continue
		}
		all.Merge(latencies)
		ready.Pods[each.config.IP] = summarize(latencies)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(ready.Pods) == 0 {
		return &failure{"NoProbe", fmt.Sprintf("none of the %d pods answers the prober on port %d", len(w.pods), w.config.Probe.Port)}
	}
	deadline := deadlineFor(millis(w.config.Probe.Deadline), millis(w.config.Probe.Interval), time.Duration(all.ValueAtQuantile(99.9)))
	for _, each := range w.pods {
		each.prober.Arm(deadline)
	}
	// In the fastest tenth of the answers nobody waited. About half of that is the server's, the rest the prober's own.
	w.budget = &budget{
		share: w.config.Probe.Budget / 100, cpus: float64(cpuCount()), interval: w.crew.Interval(),
		serving: time.Duration(all.ValueAtQuantile(10) / 2), crew: w.crew, source: w.source,
	}
	ready.At, ready.Baseline, ready.Deadline = node.Now(), summarize(all), float64(deadline)/1e3
	w.lines.write(ready)
	return nil
}

// deadlineFor is well above what is usual, and yet so short that a spike is noticed in time.
func deadlineFor(wanted, interval, usual time.Duration) time.Duration {
	return max(wanted, min(3*usual, goal-margin-interval))
}

func summarize(h *hdr.Histogram) summary {
	at := func(quantile float64) float64 { return float64(h.ValueAtQuantile(quantile)) / 1e3 }
	return summary{h.TotalCount(), at(50), at(99), at(99.9), float64(h.Max()) / 1e3}
}

// spikes makes all that are ordered, or only waits where none are.
func (w *watch) spikes(ctx context.Context) error {
	end := w.config.End
	if end == 0 {
		end = max(node.Now(), w.config.Begin) + int64(w.config.Window*1e9)
	}
	limit, cancel := context.WithTimeout(ctx, time.Duration(end-node.Now()))
	defer cancel()
	if len(w.config.Inject) == 0 {
		<-limit.Done()
		return nil
	}
	pause(limit, time.Duration(w.config.Begin-node.Now()))
	done := make(chan error, 1)
	go func() {
		// Children end with the thread that started them: it stays until all is undone.
		runtime.LockOSThread()
		_ = node.RealTime(node.PriorityObserve)
		done <- w.inject(limit)
	}()
	err := <-done
	pause(limit, afterwards)
	return err
}

func (w *watch) inject(ctx context.Context) error {
	runner, err := inject.NewRunner(w.config.Fault, w)
	if err != nil {
		return &failure{"NoGuard", err.Error()}
	}
	turn := 0
	for round := range w.config.Rounds {
		for _, kind := range w.config.Inject {
			target := w.pods[turn%len(w.pods)].target
			turn++
			if err := runner.Make(ctx, kind, round, target, millis(w.config.Lasts)); err != nil {
				return errors.Join(&failure{"SpikeFailed", err.Error()}, runner.Close())
			}
		}
	}
	if err := runner.Close(); err != nil {
		return &failure{"SpikeLeft", err.Error()}
	}
	return nil
}

// Quiet keeps the probers from sending.
func (w *watch) Quiet(ctx context.Context) (func(), error) {
	resume := func() {
		for _, each := range w.pods {
			each.prober.Resume()
		}
	}
	for _, each := range w.pods {
		for !each.prober.Pause() && !each.prober.Gone() {
			if ctx.Err() != nil {
				resume()
				return nil, ctx.Err()
			}
			node.Pause(node.Now() + int64(100*time.Microsecond))
		}
	}
	return resume, nil
}

// Calm waits until every pod that lives has answered in time for a while.
func (w *watch) Calm(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		now, still := node.Now(), false
		for _, each := range w.pods {
			still = still || (!each.prober.Gone() && each.prober.Calm(now) < calm)
		}
		if !still {
			return nil
		}
		if limit.Err() != nil {
			return limit.Err()
		}
		node.Pause(now + int64(time.Millisecond))
	}
}

// Tell writes down what was done.
func (w *watch) Tell(told inject.Told) { w.lines.write(told) }

func (w *watch) end(total probe.Books, stopped, clean bool) {
	latency, err := total.Latency.Encode(hdr.V2CompressedEncodingCookieBase)
	if err != nil {
		latency = nil
	}
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	w.lines.write(endLine{
		Type: "end", At: node.Now(), Stopped: stopped, Probes: total.Probes, Answered: total.Answered, Missed: total.Missed,
		Alarms: total.Alarms, Stalled: total.Stalled, Budget: w.budget.books, Latency: string(latency),
		CPU:  float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9,
		Lost: w.source.Lost(), LateMax: float64(total.LateMax) / 1e3, Clean: clean,
	})
}

func pause(ctx context.Context, long time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(long):
	}
}
