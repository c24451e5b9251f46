package main

import (
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// SendReport is what `send` leaves behind. Distributions are of nanoseconds; RoundTrips are those of single packets
// through both kernels, in order of sending.
type SendReport struct {
	path
	SameKernel bool              `json:"same_kernel"`
	StartedAt  float64           `json:"started_at"`
	FinishedAt float64           `json:"finished_at"`
	Scheduled  int               `json:"scheduled"`
	Sent       int               `json:"sent"`
	Refused    int               `json:"refused"`
	Unsent     int               `json:"unsent"`
	Answered   int               `json:"answered"`
	Overflowed uint32            `json:"answers_overflowed"`
	Server     Summary           `json:"server"`
	Rate       float64           `json:"rate"`
	CPU        float64           `json:"cpu_seconds"`
	Histograms map[string]string `json:"histograms"`
	RoundTrips []int64           `json:"round_trips"`
}

// shortestNanos is what a distribution shows of less: HdrHistogram has no zero, and no use for one here.
const shortestNanos = 1

func (s *sender) report(cpu float64) (*SendReport, error) {
	way, err := s.socket.path()
	if err != nil {
		return nil, err
	}
	report := &SendReport{
		path: way, SameKernel: s.sameKernel, StartedAt: float64(s.epoch) / 1e9, Scheduled: len(s.packets), Sent: s.sent,
		Refused: s.refused, Unsent: len(s.packets) - s.sent - s.refused, Answered: s.answered,
		Overflowed: s.dropped - s.droppedWas, Server: *s.summary, CPU: cpu, RoundTrips: []int64{},
		FinishedAt: float64(s.epoch+s.ended) / 1e9,
		Rate:       float64(s.sent) / max(s.config.Seconds, float64(s.ended)/1e9),
	}
	distributions := map[string]*hdr.Histogram{}
	for _, name := range []string{"rtt.kernel", "rtt.application", "qdisc.client", "qdisc.server", "server", "lateness"} {
		distributions[name] = hdr.New(shortestNanos, int64(time.Minute), 3)
	}
	note := func(name string, nanos int64) { _ = distributions[name].RecordValue(max(nanos, shortestNanos)) }
	for _, late := range s.lateness {
		note("lateness", late)
	}
	for index := range s.packets {
		p := &s.packets[index]
		if p.got != 0 {
			note("rtt.application", p.got-p.sent)
		}
		if p.taken != 0 {
			note("qdisc.client", p.taken-p.scheduled)
		}
		if p.leftIsKnown {
			note("qdisc.server", int64(p.leftDelay))
		}
		if trip, known := p.roundTrip(); known {
			note("rtt.kernel", trip)
			note("server", p.leftAt-p.reached)
			report.RoundTrips = append(report.RoundTrips, trip)
		}
	}
	report.Histograms, err = encode(distributions)
	return report, err
}

// roundTrip is the time between both kernels' queueing disciplines and receive paths, there and back. What the server
// took is left out by its own clock, so that the two clocks need not agree. A clock that was set meanwhile shows in a
// time that is not positive: such a packet says nothing.
func (p *passage) roundTrip() (int64, bool) {
	if p.scheduled == 0 || p.reached == 0 || !p.leftIsKnown || p.back == 0 {
		return 0, false
	}
	trip := (p.back - p.scheduled) - (p.leftAt - p.reached)
	return trip, trip > 0
}

func encode(distributions map[string]*hdr.Histogram) (map[string]string, error) {
	encoded := map[string]string{}
	for name, each := range distributions {
		text, err := each.Encode(hdr.V2CompressedEncodingCookieBase)
		if err != nil {
			return nil, err
		}
		encoded[name] = string(text)
	}
	return encoded, nil
}
