package pgserver

import (
	"bufio"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// serverLog hands the server's lines to our logger and keeps the last severe one
// for error messages.
//
// SECURITY: the server is told to log neither statements nor details, which can
// hold row values.
type serverLog struct {
	log    *slog.Logger
	mu     sync.Mutex
	severe string
}

func (s *serverLog) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		s.line(lines.Text())
	}
	// A line beyond the buffer ends the scan; the server must still be able to write.
	_, _ = io.Copy(io.Discard, r)
}

func (s *serverLog) line(line string) {
	severity, message := splitSeverity(line)
	write := s.log.Debug
	switch severity {
	case "FATAL", "PANIC":
		write = s.log.Error
		s.mu.Lock()
		s.severe = message
		s.mu.Unlock()
	case "ERROR", "WARNING":
		write = s.log.Warn
	}
	write("postgres", "severity", severity, "message", message)
}

func (s *serverLog) lastSevere() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.severe
}

// splitSeverity finds the severity of a line. Until the server has read its
// settings, a time and a process id stand before it.
func splitSeverity(line string) (string, string) {
	head, message, ok := strings.Cut(line, ":  ")
	if !ok {
		return "LOG", line
	}
	return head[strings.LastIndexByte(head, ' ')+1:], message
}
