package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// Segment is a stretch of the schedule with one offered rate, over all shards together.
type Segment struct {
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"rate"`
}

// Config is what a run is asked to do. It arrives as JSON; every field has the name that the JSON has.
type Config struct {
	Run      string    `json:"run"`
	Shard    int       `json:"shard"`
	Shards   int       `json:"shards"`
	Segments []Segment `json:"segments"`
	Arrivals string    `json:"arrivals"`
	Seed     uint64    `json:"seed"`
	StartAt  float64   `json:"start_at"`

	URL         string            `json:"url"`
	Method      string            `json:"method"`
	Headers     map[string]string `json:"headers"`
	BodyBytes   int               `json:"body_bytes"`
	HTTP        string            `json:"http"`
	Connection  string            `json:"connection"`
	Connections int               `json:"connections"`
	Most        int               `json:"max_connections"`
	PerConn     int               `json:"requests_per_connection"`
	Insecure    bool              `json:"insecure"`
	ServedBy    string            `json:"served_by_header"`

	Deadline       float64 `json:"deadline_seconds"`
	AttemptTimeout float64 `json:"attempt_seconds"`
	Retries        int     `json:"retries"`
	RetryBudget    float64 `json:"retry_budget"`
	Backoff        float64 `json:"backoff_seconds"`

	Window  float64 `json:"window_seconds"`
	Loops   int     `json:"loops"`
	Records string  `json:"records"`

	ProbeFrom     float64 `json:"probe_from"`
	ProbeTo       float64 `json:"probe_to"`
	ProbeStep     float64 `json:"probe_step_seconds"`
	ProbeLateness float64 `json:"probe_lateness_seconds"`
	ProbeUntil    float64 `json:"probe_until"` // seconds since the epoch, 0: take the time that it takes
}

const (
	mostWindows  = 100_000
	mostSegments = 64
	mostName     = 63
)

func readConfig(from io.Reader) (*Config, error) {
	c := &Config{
		Run: "run", Shards: 1, Arrivals: "poisson", Method: "GET", HTTP: "1.1", Connection: "keep-alive",
		Connections: 64, Most: 8192, ServedBy: "X-Served-By", Deadline: 5, RetryBudget: 0.1, Backoff: 0.01, Window: 1,
		Loops: 1, ProbeFrom: 1000, ProbeTo: 1_000_000, ProbeStep: 0.5, ProbeLateness: 0.001,
	}
	decoder := json.NewDecoder(from)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil {
		return nil, fmt.Errorf("the configuration is not the JSON object that is expected: %w", err)
	}
	if c.AttemptTimeout == 0 {
		c.AttemptTimeout = c.Deadline / float64(c.Retries+1)
	}
	return c, c.check()
}

func (c *Config) check() error {
	var problems []string
	need := func(good bool, format string, args ...any) {
		if !good {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	target, err := url.Parse(c.URL)
	need(err == nil && (target.Scheme == "http" || target.Scheme == "https") && target.Host != "",
		"url is %q; expected an http or https URL with a host", c.URL)
	need(c.Run != "" && len(c.Run) <= mostName && plain(c.Run), "run is %q; expected 1 to 63 letters, digits, dots or dashes", c.Run)
	need(c.Shards >= 1 && c.Shard >= 0 && c.Shard < c.Shards, "shard is %d of %d; expected 0 ≤ shard < shards", c.Shard, c.Shards)
	need(len(c.Segments) > 0, "segments is empty; expected at least one {seconds, rate}")
	need(len(c.Segments) <= mostSegments, "segments has %d steps; expected at most %d, for each has histograms of its own", len(c.Segments), mostSegments)
	for i, s := range c.Segments {
		need(s.Seconds > 0 && s.Rate >= 0 && s.Rate <= 1e7, "segments[%d] is %g s at %g/s; expected seconds above 0 and a rate from 0 to 1e7", i, s.Seconds, s.Rate)
	}
	need(oneOf(c.Arrivals, "poisson", "constant"), "arrivals is %q; expected poisson or constant", c.Arrivals)
	need(oneOf(c.HTTP, "1.1", "2"), "http is %q; expected 1.1 or 2", c.HTTP)
	need(oneOf(c.Connection, "keep-alive", "new"), "connection is %q; expected keep-alive or new", c.Connection)
	need(c.Connections >= 1 && c.Most >= c.Connections, "connections is %d and max_connections %d; expected 1 ≤ connections ≤ max_connections", c.Connections, c.Most)
	need(c.PerConn >= 0, "requests_per_connection is %d; expected 0 (no limit) or more", c.PerConn)
	need(c.BodyBytes >= 0 && c.BodyBytes <= 64<<20, "body_bytes is %d; expected 0 to 67108864", c.BodyBytes)
	need(c.Deadline > 0 && c.Deadline <= 600, "deadline_seconds is %g; expected above 0 and at most 600", c.Deadline)
	need(c.AttemptTimeout > 0 && c.AttemptTimeout <= c.Deadline, "attempt_seconds is %g; expected above 0 and at most the deadline", c.AttemptTimeout)
	need(c.Retries >= 0 && c.Retries <= 20, "retries is %d; expected 0 to 20", c.Retries)
	need(c.RetryBudget >= 0 && c.RetryBudget <= 1, "retry_budget is %g; expected 0 to 1 (a share of the requests)", c.RetryBudget)
	need(c.Backoff >= 0, "backoff_seconds is %g; expected 0 or more", c.Backoff)
	need(c.Loops >= 1 && c.Loops <= 64, "loops is %d; expected 1 to 64", c.Loops)
	need(c.Window > 0 && (c.seconds()+c.Deadline)/c.Window <= mostWindows, "window_seconds is %g; expected above 0 and at most %d windows", c.Window, mostWindows)
	need(token(c.Method), "method is %q; expected an HTTP method", c.Method)
	for name, value := range c.Headers {
		need(token(name) && !strings.ContainsAny(value, "\r\n\x00"), "header %q is not one that HTTP allows", name)
		need(!oneOf(strings.ToLower(name), "content-length", "transfer-encoding", "connection", "x-request-id"),
			"header %q is set by the generator itself: remove it", name)
	}
	if problems != nil {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

func (c *Config) seconds() float64 {
	var total float64
	for _, s := range c.Segments {
		total += s.Seconds
	}
	return total
}

func (c *Config) deadline() int64 { return int64(c.Deadline * float64(time.Second)) }
func (c *Config) attempt() int64  { return int64(c.AttemptTimeout * float64(time.Second)) }

// backoff returns the pause before an attempt (1 is the first retry): it doubles each time.
func (c *Config) backoff(attempt int) int64 {
	return int64(c.Backoff * float64(time.Second) * float64(int64(1)<<(attempt-1)))
}

func (c *Config) good(status int) bool { return status >= 200 && status < 400 }

func oneOf(value string, options ...string) bool {
	for _, option := range options {
		if value == option {
			return true
		}
	}
	return false
}

func plain(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == ""
}

func token(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") == ""
}
