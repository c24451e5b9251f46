// Perfrun-netpath measures the way of packets between two kernels: `serve` on one side, `send` on the other.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	exitDone     = 0
	exitBroke    = 1
	exitUsage    = 2
	exitLate     = 3
	exitSilent   = 4 // nobody answered
	exitUnmarked = 5 // a kernel gives no timestamps
	exitLost     = 6 // the server fell silent in the middle
	exitTaken    = 7 // the port is in use
)

// ending is an error with the exit code that tells it apart.
type ending struct {
	code int
	text string
}

func (e *ending) Error() string { return e.text }

func endingf(code int, format string, args ...any) error {
	return &ending{code, fmt.Sprintf(format, args...)}
}

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) != 2 || (os.Args[1] != "serve" && os.Args[1] != "send") {
		return complain(errors.New("usage: perfrun-netpath serve|send, with the configuration as JSON on standard input"), exitUsage)
	}
	// Memory is allocated beforehand, so that nothing need be collected unless it grew all the same. Both threads that wait in the
	// kernel keep their places in Go's scheduler, and signals need one of their own.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	runtime.GOMAXPROCS(max(3, runtime.GOMAXPROCS(0)))
	runtime.LockOSThread()
	sharpTimers()
	var report any
	var err error
	if os.Args[1] == "serve" {
		report, err = runServer(os.Stdin)
	} else {
		report, err = runSender(os.Stdin)
	}
	if err != nil {
		return complain(err, exitBroke)
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return complain(err, exitBroke)
	}
	return exitDone
}

func runServer(from io.Reader) (any, error) {
	config := &ServeConfig{}
	if err := read(from, config); err != nil {
		return nil, err
	}
	stop := new(atomic.Bool)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		stop.Store(true)
	}()
	server, err := newServer(config)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "listening on UDP port %d\n", config.Port)
	return server.serve(stop)
}

func runSender(from io.Reader) (any, error) {
	config := &SendConfig{}
	if err := read(from, config); err != nil {
		return nil, err
	}
	sender, err := newSender(config)
	if err != nil {
		return nil, err
	}
	return sender.run()
}

// complain writes the error's sentence and returns its own code, or the one that is given.
func complain(err error, code int) int {
	fmt.Fprintf(os.Stderr, "perfrun-netpath: %v\n", err)
	if own := new(ending); errors.As(err, &own) {
		return own.code
	}
	return code
}

// sharpTimers asks the kernel to end waits at their time rather than up to 50 µs later.
func sharpTimers() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }
