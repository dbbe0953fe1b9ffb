package embedtest

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"slices"
)

type item struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

// answer does the work, keeps the accounts and sends what the fault leaves of the answer.
func (s *Server) answer(w http.ResponseWriter, f Fault, req request, texts []string) {
	lost := f.AfterWork || f.Truncate || f.Garbage || f.Disconnect
	size := cmp.Or(f.Dimensions, req.Dimensions, s.opts.Dimensions)
	s.mu.Lock()
	for i, t := range texts {
		s.computed[t]++
		if !lost && f.Dimensions == 0 && !f.spoils(i) {
			s.delivered[t]++
		}
	}
	s.mu.Unlock()
	switch {
	case f.AfterWork:
		f.refuse(w)
		return
	case f.Disconnect:
		panic(http.ErrAbortHandler) // how net/http is told to break a connection
	case f.Garbage:
		_, _ = w.Write([]byte("<html>upstream</html>"))
		return
	}
	data := f.items(texts, size, s.opts.Base64)
	body, err := json.Marshal(map[string]any{
		"object": "list", "model": req.Model, "data": data,
		"usage": map[string]int{"prompt_tokens": len(texts), "total_tokens": len(texts)},
	})
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error(), "bug")
		return
	}
	if f.Truncate {
		body = body[:len(body)/2]
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// spoils reports whether input i gets no good vector.
func (f Fault) spoils(i int) bool {
	for _, list := range [][]int{f.Drop, f.Twice, f.Zero, f.Infinite, f.Null} {
		if slices.Contains(list, i) {
			return true
		}
	}
	return false
}

func (f Fault) items(texts []string, size int, encoded bool) []item {
	var out []item
	add := func(index int, v []float32) {
		it := item{Object: "embedding", Index: index, Embedding: v}
		if encoded {
			it.Embedding = pack(v)
		}
		out = append(out, it)
	}
	for i, t := range texts {
		switch {
		case slices.Contains(f.Drop, i):
		case slices.Contains(f.Null, i):
			out = append(out, item{Object: "embedding", Index: i})
		case slices.Contains(f.Zero, i):
			add(i, make([]float32, size))
		case slices.Contains(f.Infinite, i) && encoded:
			v := Vector(t, size)
			v[0] = float32(math.Inf(1))
			add(i, v)
		case slices.Contains(f.Infinite, i):
			v := make([]json.Number, size)
			for k := range v {
				v[k] = "1e400"
			}
			out = append(out, item{Object: "embedding", Index: i, Embedding: v})
		default:
			add(i, Vector(t, size))
			if slices.Contains(f.Twice, i) {
				add(i, Vector(t+" again", size))
			}
		}
	}
	if f.Extra {
		add(len(texts), Vector("extra", size))
	}
	if f.Reverse {
		slices.Reverse(out)
	}
	return out
}

// pack encodes little-endian 32-bit numbers, the encoding_format "base64" of the OpenAI API.
func pack(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}
