package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"perfrun.dev/netwatch/inject"
)

// Config is what a watch is told. Fields that it does not know are the caller's own.
type Config struct {
	Fault  string `json:"fault"` // names the journal
	Source string `json:"source"`
	Probe  struct {
		Port     int     `json:"port"`
		Path     string  `json:"path"`
		Interval float64 `json:"interval_ms"`
		Deadline float64 `json:"deadline_ms"`
		Baseline float64 `json:"baseline_ms"`
		Budget   float64 `json:"budget_percent"`
	} `json:"probe"`
	Inject    []string          `json:"inject"`
	Rounds    int               `json:"rounds"`
	Lasts     float64           `json:"lasts_ms"`
	Window    float64           `json:"window_s"`
	Begin     int64             `json:"begin_ns"` // CLOCK_MONOTONIC: no spike is made before
	End       int64             `json:"end_ns"`   // CLOCK_MONOTONIC: all is over by then; 0 is window_s after the begin
	Container string            `json:"container"`
	IDs       map[string]string `json:"container_ids"` // pod's address → the container that spikes are made in
	Pods      []PodConfig       `json:"pods"`
}

// PodConfig is a pod on this node.
type PodConfig struct {
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	UID        string            `json:"uid"`
	IP         string            `json:"ip"`
	Host       bool              `json:"host_network"`
	Containers []ContainerConfig `json:"containers"`
	Cgroup     string            `json:"cgroup"`    // of the container, where its id is in no group's name
	PID        int               `json:"netns_pid"` // a process in the pod's network namespace, where its address is not unique
}

// ContainerConfig is one of its containers.
type ContainerConfig struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

func readConfig(from io.Reader) (*Config, error) {
	c := &Config{Rounds: 1, Lasts: 50, Window: 30}
	c.Probe.Path, c.Probe.Interval, c.Probe.Deadline, c.Probe.Baseline, c.Probe.Budget = "/", 2.25, 2.25, 1000, 3
	if err := json.NewDecoder(from).Decode(c); err != nil {
		return nil, fmt.Errorf("the configuration is not JSON as expected: %w", err)
	}
	return c, c.check()
}

func (c *Config) check() error {
	var wrong error
	bound := func(name string, value, low, high float64) {
		if !(value >= low && value <= high) {
			wrong = errors.Join(wrong, fmt.Errorf("%s is %v; expected %v to %v", name, value, low, high))
		}
	}
	bound("probe.port", float64(c.Probe.Port), 1, 65535)
	bound("probe.interval_ms", c.Probe.Interval, 0.2, 1000)
	bound("probe.deadline_ms", c.Probe.Deadline, 0.2, 1000)
	bound("probe.baseline_ms", c.Probe.Baseline, 50, 60000)
	bound("probe.budget_percent", c.Probe.Budget, 0.1, 100)
	bound("rounds", float64(c.Rounds), 1, 10000)
	bound("lasts_ms", c.Lasts, 10, 500)
	bound("window_s", c.Window, 0.1, 3600)
	if !strings.HasPrefix(c.Probe.Path, "/") || strings.ContainsAny(c.Probe.Path, " \r\n") {
		wrong = errors.Join(wrong, fmt.Errorf("probe.path is %q; expected a path that begins with / and has no blank", c.Probe.Path))
	}
	if _, err := inject.JournalPath(c.Fault); err != nil {
		wrong = errors.Join(wrong, err)
	}
	for _, kind := range c.Inject {
		if !slices.Contains(inject.Kinds, kind) {
			wrong = errors.Join(wrong, fmt.Errorf("inject: %q is no kind of spike; the kinds are %v", kind, inject.Kinds))
		}
	}
	if len(c.Pods) == 0 {
		wrong = errors.Join(wrong, errors.New("pods is empty; expected the pods to watch"))
	}
	for index, pod := range c.Pods {
		if _, err := netip.ParseAddr(pod.IP); err != nil {
			wrong = errors.Join(wrong, fmt.Errorf("pods[%d].ip is %q; expected an address", index, pod.IP))
		}
	}
	return wrong
}

func millis(value float64) time.Duration { return time.Duration(value * float64(time.Millisecond)) }
