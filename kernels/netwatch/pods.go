package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"perfrun.dev/netwatch/inject"
	"perfrun.dev/netwatch/probe"
	"perfrun.dev/netwatch/topology"
	"perfrun.dev/netwatch/trace"
)

// pod is one that is watched.
type pod struct {
	number     int // as the source of events and the probers count
	config     PodConfig
	space      topology.Space
	containers []*container
	prober     *probe.Prober
	target     inject.Target
}

// findPods brings together what was told of the pods and what is seen of them here.
func findPods(c *Config, seen topology.Map) []*pod {
	var pods []*pod
	for number, config := range c.Pods {
		p := &pod{number: number, config: config}
		if config.PID > 0 {
			p.space, _ = seen.Holding(config.PID)
		} else {
			p.space, _ = seen.Find(config.IP)
		}
		for _, each := range config.Containers {
			path, _ := seen.Container(each.ID)
			if path == "" {
				path = config.Cgroup
			}
			p.containers = append(p.containers, newContainer(each.ID, each.Name, path))
		}
		p.target = inject.Target{
			IP: config.IP, Port: uint16(c.Probe.Port), Node: seen.Node, Space: p.space,
			Host: config.Host || p.space.NetNS == seen.Node,
		}
		if held := p.held(c, seen); held != nil {
			p.target.Container, p.target.Cgroup = held.id, held.path
			_, p.target.PIDs = seen.Container(held.id)
		} else {
			p.target.Cgroup = config.Cgroup
		}
		if len(p.target.PIDs) == 0 {
			p.target.PIDs = p.space.PIDs
		}
		pods = append(pods, p)
	}
	return pods
}

// held is the container in which spikes are made: the one that was named, or else the one whose process listens.
func (p *pod) held(c *Config, seen topology.Map) *container {
	id := c.IDs[p.config.IP]
	for _, each := range p.containers {
		if each.id == id || (id == "" && c.Container != "" && each.name == c.Container) {
			return each
		}
	}
	listener := p.space.Listener(c.Probe.Port)
	for _, each := range p.containers {
		if _, pids := seen.Container(each.id); listener > 0 && slices.Contains(pids, listener) {
			return each
		}
	}
	if len(p.containers) > 0 {
		return p.containers[0]
	}
	return nil
}

func (p *pod) address(port int) netip.AddrPort {
	address, _ := netip.ParseAddr(p.config.IP)
	return netip.AddrPortFrom(address, uint16(port))
}

// watched is what the source of events needs to know of the pod.
func (p *pod) watched(port int) trace.Target {
	target := trace.Target{NetNS: p.space.NetNS, Addr: p.address(port), PIDs: p.space.Tasks()}
	if p.space.Ifindex > 0 {
		target.Devs = []string{p.space.Device, p.space.Inside}
	}
	return target
}

func (p *pod) String() string {
	if p.config.Name != "" {
		return fmt.Sprintf("%s/%s (%s)", p.config.Namespace, p.config.Name, p.config.IP)
	}
	return p.config.IP + ":" + strconv.Itoa(int(p.target.Port))
}
