package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
)

const (
	leastBytes  = 64
	mostBytes   = 1400
	mostPackets = 1_000_000
	mostSeconds = 86_400
)

// ServeConfig is what `serve` is asked to do. EndAt is in seconds since the epoch.
type ServeConfig struct {
	Port  int     `json:"port"`
	EndAt float64 `json:"end_at"`
}

// SendConfig is what `send` is asked to do: Rate packets a second with Bytes of payload each, for Seconds from StartAt
// (seconds since the epoch).
type SendConfig struct {
	Address string  `json:"address"`
	Port    int     `json:"port"`
	StartAt float64 `json:"start_at"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"rate"`
	Bytes   int     `json:"bytes"`
}

type checked interface{ check() error }

func read(from io.Reader, config checked) error {
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(config); err != nil {
		return endingf(exitUsage, "the configuration is not the JSON object that is expected: %v", err)
	}
	if err := config.check(); err != nil {
		return endingf(exitUsage, "%v", err)
	}
	return nil
}

func (c *ServeConfig) check() error {
	if c.EndAt <= 0 {
		return fmt.Errorf("end_at is %g; expected seconds since the epoch", c.EndAt)
	}
	return checkPort(c.Port)
}

func (c *SendConfig) check() error {
	if _, err := netip.ParseAddr(c.Address); err != nil {
		return fmt.Errorf("address is %q; expected an IPv4 or IPv6 address", c.Address)
	}
	if c.Bytes < leastBytes || c.Bytes > mostBytes {
		return fmt.Errorf("bytes is %d; expected %d to %d", c.Bytes, leastBytes, mostBytes)
	}
	if c.StartAt <= 0 {
		return fmt.Errorf("start_at is %g; expected seconds since the epoch", c.StartAt)
	}
	if c.Seconds <= 0 || c.Seconds > mostSeconds || c.Rate <= 0 || c.packets() < 1 || c.packets() > mostPackets {
		return fmt.Errorf("rate is %g/s for %g s; expected 1 to %d packets in at most %d s", c.Rate, c.Seconds, mostPackets, mostSeconds)
	}
	return checkPort(c.Port)
}

func (c *SendConfig) packets() int { return int(c.Rate * c.Seconds) }

func checkPort(port int) error {
	if port < 1 || port > 65_535 {
		return fmt.Errorf("port is %d; expected 1 to 65535", port)
	}
	return nil
}
