// Perfrun-loadgen offers load by a schedule that was made beforehand and accounts for every request of it.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	exitDone  = 0
	exitBroke = 1
	exitUsage = 2
	exitLate  = 3
)

func main() { os.Exit(run()) }

func run() int {
	file := flag.String("config", "-", "the file with the configuration as JSON; - is standard input")
	probing := flag.Bool("probe", false, "find the highest rate that can be offered from here, and report it")
	flag.Parse()
	config, err := load(*file)
	if err != nil {
		return complain(err, exitUsage)
	}
	// The heap is small and steady: collecting it rarely costs some memory and spares pauses.
	debug.SetGCPercent(400)
	stop := new(atomic.Bool)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		stop.Store(true)
	}()
	if *probing {
		report, err := probe(config, stop)
		if err != nil {
			return complain(err, exitBroke)
		}
		return finish(report)
	}
	return offer(config, stop)
}

func load(file string) (*Config, error) {
	if file == "-" {
		return readConfig(os.Stdin)
	}
	from, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	defer from.Close()
	return readConfig(from)
}

func offer(config *Config, stop *atomic.Bool) int {
	var records *Records
	if config.Records != "" {
		var err error
		if records, err = newRecords(config.Records); err != nil {
			return complain(err, exitBroke)
		}
	}
	session, err := newSession(config, records, stop)
	if err != nil {
		return complain(err, exitBroke)
	}
	start := time.Now().Add(200 * time.Millisecond)
	if config.StartAt > 0 {
		// Asked last of all: files and names may take their time. A load that began late would not be the one that
		// the other shards and the fault go by.
		wait := config.StartAt - float64(time.Now().UnixNano())/1e9
		if wait < 0 {
			return complain(fmt.Errorf("this generator was ready %.3f s after start_at", -wait), exitLate)
		}
		start = time.Now().Add(time.Duration(wait * 1e9))
	}
	done := make(chan struct{})
	go tell(session, start, done)
	before := cpuSeconds()
	books := session.run(start)
	spent, ended := cpuSeconds()-before, time.Now()
	close(done)
	report, err := summarize(session, books, start, stop.Load())
	if err != nil {
		return complain(err, exitBroke)
	}
	report.CPU, report.Wall, report.Finished = spent, ended.Sub(start).Seconds(), float64(ended.UnixNano())/1e9
	if records != nil {
		if err := records.close(); err != nil {
			return complain(fmt.Errorf("the file for records cannot be written: %w", err), exitBroke)
		}
		report.Records = &RecordsReport{Path: config.Records, Written: records.written.Load(), Lost: records.lost.Load()}
	}
	return finish(report)
}

func summarize(s *Session, books *Recorder, start time.Time, stopped bool) (*Report, error) {
	histograms, err := books.histograms()
	if err != nil {
		return nil, err
	}
	c, ledger := s.config, books.ledger()
	if !ledger.closes() {
		return nil, fmt.Errorf("the ledger does not close: %+v", ledger)
	}
	seconds := c.seconds()
	return &Report{
		Version: reportVersion, Run: c.Run, Shard: c.Shard, Shards: c.Shards, Stopped: stopped, Ledger: ledger,
		StartedAt: float64(start.UnixNano()) / 1e9, Schedule: c.Segments,
		Attempts: Attempts{
			Sent: books.sent, FirstOK: books.first[ok], FirstError: books.first[failed], FirstTimeout: books.first[timedOut],
			Retries: books.retries, Refused: books.refused, Held: books.held,
		},
		Offered: float64(ledger.Scheduled) / seconds, Achieved: books.achieved(seconds),
		Connections: s.connections(), Errors: books.errors, Servers: s.names.list, Histograms: histograms,
		WindowSize: c.Window, Windows: books.windowReports(), Unanswered: books.unanswered, Truncated: books.truncated,
	}, nil
}

// tell writes a line a second for whoever watches.
func tell(s *Session, start time.Time, done <-chan struct{}) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-ticker.C:
			sent, ended := s.progress()
			fmt.Fprintf(os.Stderr, "%.0f s: %d of about %.0f requests sent, %d ended\n",
				max(0, now.Sub(start).Seconds()), sent, s.schedule.total/float64(s.config.Shards), ended)
		}
	}
}

func finish(report any) int {
	if err := emit(os.Stdout, report); err != nil {
		return complain(err, exitBroke)
	}
	return exitDone
}

func complain(err error, code int) int {
	fmt.Fprintf(os.Stderr, "perfrun-loadgen: %v\n", err)
	return code
}
