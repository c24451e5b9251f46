package main

import (
	"encoding/json"
	"io"
	"strconv"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// reportVersion changes whenever a reader of an older report would misread a newer one.
const reportVersion = 1

// Report is what a run leaves behind: one JSON object on standard output.
type Report struct {
	Version     int               `json:"version"`
	Run         string            `json:"run"`
	Shard       int               `json:"shard"`
	Shards      int               `json:"shards"`
	StartedAt   float64           `json:"started_at"`
	Finished    float64           `json:"finished_at"`
	Stopped     bool              `json:"stopped"`
	Ledger      Ledger            `json:"ledger"`
	Attempts    Attempts          `json:"attempts"`
	Offered     float64           `json:"offered_rate"`
	Achieved    float64           `json:"achieved_rate"`
	CPU         float64           `json:"cpu_seconds"`
	Wall        float64           `json:"wall_seconds"`
	Connections Connections       `json:"connections"`
	Errors      map[string]uint64 `json:"errors"`
	Servers     []string          `json:"servers"`
	Histograms  map[string]string `json:"histograms"`
	WindowSize  float64           `json:"window_seconds"`
	Windows     []WindowReport    `json:"windows"`
	Records     *RecordsReport    `json:"records,omitempty"`
	Schedule    []Segment         `json:"segments"`
	Unanswered  []Unanswered      `json:"unanswered"`
	Truncated   uint64            `json:"unanswered_truncated"`
}

// Ledger accounts for every scheduled request; it closes by construction and is checked all the same.
type Ledger struct {
	Scheduled uint64 `json:"scheduled"`
	OK        uint64 `json:"ok"`
	Error     uint64 `json:"error"`
	Timeout   uint64 `json:"timeout"`
	NeverSent uint64 `json:"never_sent"`
	InFlight  uint64 `json:"in_flight"`
}

// Attempts tells first attempts from what retries made of them.
type Attempts struct {
	Sent         uint64 `json:"sent"`
	FirstOK      uint64 `json:"first_ok"`
	FirstError   uint64 `json:"first_error"`
	FirstTimeout uint64 `json:"first_timeout"`
	Retries      uint64 `json:"retries"`
	Refused      uint64 `json:"retries_refused"`
	Held         uint64 `json:"held"`
}

// Connections says how many were opened in all, and the most that were open at once.
type Connections struct {
	Opened uint64 `json:"opened"`
	Most   int    `json:"most"`
}

// WindowReport is one window: by intended time except good, served and completed, which are by the answer's time.
type WindowReport struct {
	OK        uint32            `json:"ok"`
	Error     uint32            `json:"error"`
	Timeout   uint32            `json:"timeout"`
	NeverSent uint32            `json:"never_sent"`
	InFlight  uint32            `json:"in_flight"`
	Good      uint32            `json:"good"`
	Served    map[string]uint32 `json:"served"`
	Latency   [][2]uint32       `json:"latency"`
}

// RecordsReport says how complete the file of records is.
type RecordsReport struct {
	Path    string `json:"path"`
	Written uint64 `json:"written"`
	Lost    uint64 `json:"lost"`
}

func (r *Recorder) ledger() Ledger {
	l := Ledger{OK: r.counts[ok], Error: r.counts[failed], Timeout: r.counts[timedOut], NeverSent: r.counts[neverSent], InFlight: r.counts[inFlight]}
	for i := range r.windows {
		for _, count := range r.windows[i].Intended {
			l.Scheduled += uint64(count)
		}
	}
	return l
}

func (l Ledger) closes() bool {
	return l.Scheduled == l.OK+l.Error+l.Timeout+l.NeverSent+l.InFlight
}

func (r *Recorder) windowReports() []WindowReport {
	reports := make([]WindowReport, len(r.windows))
	for i := range r.windows {
		w := &r.windows[i]
		reports[i] = WindowReport{
			OK: w.Intended[ok], Error: w.Intended[failed], Timeout: w.Intended[timedOut], NeverSent: w.Intended[neverSent],
			InFlight: w.Intended[inFlight], Good: w.Done, Served: map[string]uint32{}, Latency: [][2]uint32{},
		}
		for server, count := range w.servers {
			if count > 0 {
				reports[i].Served[strconv.Itoa(server)] = count
			}
		}
		if w.latency != nil {
			for bucket, count := range w.latency {
				if count > 0 {
					reports[i].Latency = append(reports[i].Latency, [2]uint32{uint32(bucket), count})
				}
			}
		}
	}
	return reports
}

func encode(h *hdr.Histogram) (string, error) {
	text, err := h.Encode(hdr.V2CompressedEncodingCookieBase)
	return string(text), err
}

// histograms returns each distribution as a whole, and by segment as NAME.0, NAME.1 and so on.
func (r *Recorder) histograms() (map[string]string, error) {
	encoded := map[string]string{}
	add := func(name string, h *hdr.Histogram) error {
		text, err := encode(h)
		encoded[name] = text
		return err
	}
	for name, d := range map[string]*Distribution{"latency": r.latency, "first_latency": r.firstLatency, "lateness": r.lateness} {
		if err := add(name, d.total()); err != nil {
			return nil, err
		}
		for index, each := range d.segments {
			if err := add(name+"."+strconv.Itoa(index), each); err != nil {
				return nil, err
			}
		}
	}
	return encoded, nil
}

func emit(to io.Writer, value any) error {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}
