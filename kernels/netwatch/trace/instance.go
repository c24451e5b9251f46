package trace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const instancePrefix = "perfrun-"

// Where an administrator may have mounted tracefs already: seen from here, or from the node's first process.
var mounted = []string{
	"/sys/kernel/tracing", "/sys/kernel/debug/tracing", "/proc/1/root/sys/kernel/tracing",
	"/proc/1/root/sys/kernel/debug/tracing",
}

// tracing gives a folder that is tracefs. It mounts one of its own, which is attached nowhere, so that it goes with
// the descriptor whatever ends the process; where that is not allowed it takes one that is there.
func tracing() (folder string, done func(), err error) {
	context, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err == nil {
		defer unix.Close(context)
		if err = unix.FsconfigCreate(context); err == nil {
			var at int
			if at, err = unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0); err == nil {
				return fmt.Sprintf("/proc/self/fd/%d", at), func() { unix.Close(at) }, nil
			}
		}
	}
	for _, folder := range mounted {
		if _, missing := os.Stat(filepath.Join(folder, "instances")); missing == nil {
			return folder, func() {}, nil
		}
	}
	return "", nil, fmt.Errorf("tracefs is mounted nowhere and cannot be mounted, for which CAP_SYS_ADMIN is needed: %w", err)
}

// instance is a buffer of ftrace of our own.
type instance struct {
	folder string
	done   func()
	pipes  []*pipe
}

// newInstance makes one that writes its newest bytes of each CPU over its oldest.
func newInstance(bytes int) (_ *instance, err error) {
	folder, done, err := tracing()
	if err != nil {
		return nil, err
	}
	own, err := os.MkdirTemp(filepath.Join(folder, "instances"), instancePrefix)
	if err != nil {
		done()
		return nil, fmt.Errorf("an instance of ftrace cannot be made: %w", err)
	}
	i := &instance{folder: own, done: done}
	defer func() {
		if err != nil {
			err = errors.Join(err, i.close())
		}
	}()
	for _, set := range [][2]string{
		{"trace_clock", "mono"}, {"buffer_size_kb", fmt.Sprint(max(bytes>>10, 4))}, {"options/overwrite", "1"},
	} {
		if err = i.write(set[0], set[1]); err != nil {
			return nil, err
		}
	}
	cpus, err := filepath.Glob(filepath.Join(own, "per_cpu", "cpu*"))
	for _, cpu := range cpus {
		var one *pipe
		if one, err = openPipe(cpu); err != nil {
			return nil, err
		}
		i.pipes = append(i.pipes, one)
	}
	return i, err
}

func (i *instance) write(file, text string) error {
	// Not os.WriteFile: these files exist, and what cannot be set must not be made.
	to, err := os.OpenFile(filepath.Join(i.folder, file), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("ftrace has no %s: %w", file, err)
	}
	defer to.Close()
	if _, err := to.WriteString(text); err != nil {
		return fmt.Errorf("ftrace does not take %q as its %s: %w", text, file, err)
	}
	return nil
}

func (i *instance) close() error {
	for _, one := range i.pipes {
		one.close()
	}
	i.pipes = nil
	err := os.Remove(i.folder)
	i.done()
	if err != nil {
		return fmt.Errorf("the instance of ftrace stays: %w", err)
	}
	return nil
}

// Leftovers lists the instances of ftrace that a source left behind, and removes them where it is asked to. Those
// that are still there then, because somebody has them open, are an error.
func Leftovers(remove bool) ([]string, error) {
	folder, done, err := tracing()
	if err != nil {
		return nil, nil //nolint:nilerr // without tracefs there are none
	}
	defer done()
	there, err := os.ReadDir(filepath.Join(folder, "instances"))
	if err != nil {
		return nil, fmt.Errorf("the instances of ftrace cannot be listed: %w", err)
	}
	var names []string
	var failed []error
	for _, one := range there {
		if !strings.HasPrefix(one.Name(), instancePrefix) {
			continue
		}
		names = append(names, one.Name())
		if remove {
			failed = append(failed, os.Remove(filepath.Join(folder, "instances", one.Name())))
		}
	}
	return names, errors.Join(failed...)
}
