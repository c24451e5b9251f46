// Perfrun-netwatch watches pods of a node for latency spikes, makes some where it is told to, and takes them back.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/inject"
	"perfrun.dev/netwatch/node"
	"perfrun.dev/netwatch/trace"
)

const (
	exitDone  = 0
	exitBroke = 1
	exitUsage = 2
	exitLeft  = 3
)

const usage = `perfrun-netwatch watch             watch pods by the configuration on standard input
perfrun-netwatch undo [--fault F]  remove what any watch left on this node
perfrun-netwatch probe-facilities  say what this kernel offers
perfrun-netwatch guard JOURNAL     (started by watch) undo what it can no longer undo
`

func main() { os.Exit(run(os.Args[1:])) }

func run(words []string) int {
	if len(words) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return exitUsage
	}
	switch command := words[0]; {
	case command == "watch" && len(words) == 1:
		return watchCommand()
	case command == "undo":
		return undoCommand(words[1:])
	case command == "probe-facilities" && len(words) == 1:
		return facilitiesCommand()
	case command == "guard" && len(words) == 2:
		return finish(inject.RunGuard(words[1]), exitLeft)
	case command == inject.Spin && len(words) == 2:
		return finish(inject.RunSpin(words[1]), exitBroke)
	}
	fmt.Fprint(os.Stderr, usage)
	return exitUsage
}

func watchCommand() int {
	// Whoever reads the lines may go; then all is undone, which a signal would not leave the time for.
	signal.Ignore(syscall.SIGPIPE)
	config, err := readConfig(os.Stdin)
	if err != nil {
		return finish(err, exitUsage)
	}
	// Collecting garbage would hold up the probers. What is written down per spike is some kilobytes.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(192 << 20)
	node.Unhurried()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go untilOrphaned(cancel)
	out := newLines(os.Stdout, cancel)
	defer out.close()
	err = runWatch(ctx, config, out)
	var failed *failure
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return exitDone
	case errors.As(err, &failed):
		out.write(errorLine{"error", failed.reason, failed.message})
	}
	return finish(err, exitBroke)
}

// untilOrphaned ends the watch when its parent ends, whichever of the parent's threads started it.
func untilOrphaned(cancel func()) {
	const look, forever = 50, -1 // milliseconds
	parent, patience := os.Getppid(), forever
	process, err := unix.PidfdOpen(parent, 0)
	if err != nil {
		// Linux before 5.3, or a parent outside of this namespace of processes: its number has to be looked at.
		process, patience = -1, look
	}
	for os.Getppid() == parent {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, patience)
	}
	cancel()
}

func undoCommand(words []string) int {
	flags := flag.NewFlagSet("undo", flag.ContinueOnError)
	fault := flags.String("fault", "", "only what this fault's watch left; a watch of it that still runs is ended")
	if err := flags.Parse(words); err != nil || flags.NArg() > 0 {
		return exitUsage
	}
	swept, err := inject.Sweep(*fault)
	if err != nil {
		return finish(err, exitBroke)
	}
	if err := json.NewEncoder(os.Stdout).Encode(swept); err != nil {
		return finish(err, exitBroke)
	}
	if len(swept.Left) > 0 {
		return exitLeft
	}
	return exitDone
}

func facilitiesCommand() int {
	source, err := trace.Open(trace.Options{})
	if err != nil {
		return finish(err, exitBroke)
	}
	defer source.Close()
	line := facilitiesLine{Type: "facilities", Facilities: source.Facilities(), Boot: node.Boot()}
	if err := node.RealTime(node.PriorityObserve); err != nil {
		line.RealTime = err.Error()
	}
	return finish(json.NewEncoder(os.Stdout).Encode(line), exitBroke)
}

func finish(err error, code int) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(os.Stderr, "perfrun-netwatch: %v\n", err)
	return code
}
