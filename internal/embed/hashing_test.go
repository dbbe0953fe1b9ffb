package embed_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/internal/embed"
)

func vector(t *testing.T, h embed.Hashing, text string) embed.Vector {
	t.Helper()
	vs, err := h.Embed(t.Context(), []string{text})
	if err != nil {
		t.Fatal(err)
	}
	return vs[0]
}

func dot(a, b embed.Vector) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestHashingVectorsAreUsable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.String(), 1, 6).Draw(t, "texts")
		size := rapid.IntRange(1, embed.MaxDimensions).Draw(t, "dimensions")
		vs, err := embed.Hashing{Dimensions: size}.Embed(context.Background(), texts)
		if err != nil || len(vs) != len(texts) {
			t.Fatalf("got %d vectors, %v", len(vs), err)
		}
		for i, v := range vs {
			if n := math.Sqrt(dot(v, v)); len(v) != size || math.Abs(n-1) > 1e-3 {
				t.Fatalf("got %d dimensions, length %v", len(v), n)
			}
			alone, err := embed.Hashing{Dimensions: size}.Embed(context.Background(), texts[i:i+1])
			if err != nil || !slices.Equal(alone[0], v) {
				t.Fatalf("the vector of %q depends on its neighbours", texts[i])
			}
		}
	})
}

func TestHashingFindsWords(t *testing.T) {
	t.Parallel()
	docs := []string{
		"Backup > Restore\n\nA dump is read back with the tool that comes with the server. Take care that the roles exist.",
		"Backup > Write-Ahead Log\n\nSegments are archived by a command; the tool that reads them is set beside it.",
		"Replication > Slots\n\nA slot keeps segments until a standby has read them. Roles need a right for it.",
		"日本語 > 文章\n\n東京都は日本の首都である。",
	}
	for query, best := range map[string]int{
		"how to restore a backup": 0, "write ahead log": 1, "archiving segments": 1, "replication slot": 2, "standby": 2, "東京の首都": 3, "RESTORE": 0,
	} {
		q, got := vector(t, embed.Hashing{}, query), 0
		for i, d := range docs {
			if dot(q, vector(t, embed.Hashing{}, d)) > dot(q, vector(t, embed.Hashing{}, docs[got])) {
				got = i
			}
		}
		if got != best {
			t.Errorf("%q finds %q, want %q", query, docs[got], docs[best])
		}
	}
}

func TestHashingHandlesManyWords(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 60_000 {
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), 1+i%7))
		b.WriteByte("aeiou"[i/26%5])
		b.WriteByte("bcdfghjk"[i/130%8])
		b.WriteByte(' ')
	}
	if v := vector(t, embed.Hashing{}, b.String()); math.Abs(dot(v, v)-1) > 1e-3 {
		t.Errorf("got length %v", dot(v, v))
	}
}

func TestHashingSaysWhatItIs(t *testing.T) {
	t.Parallel()
	info, err := embed.Hashing{}.Test(t.Context())
	if err != nil || !info.Lexical || info.Dimensions != embed.DefaultDimensions || !strings.Contains(info.Model, "lexical") {
		t.Errorf("got %+v, %v", info, err)
	}
	_, err = embed.Hashing{Dimensions: embed.MaxDimensions + 1}.EmbedQuery(t.Context(), "x")
	if embed.ClassOf(err) != embed.Invalid {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (embed.Hashing{}).EmbedBatch(ctx, []string{"x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestHashingVectorsStay holds the vectors that databases contain: when it fails, HashingVersion must be raised.
func TestHashingVectorsStay(t *testing.T) {
	t.Parallel()
	got := vector(t, embed.Hashing{Dimensions: 8}, "Guide > Setup\n\nInstalling the servers, step by step: größer, 日本, x86_64.")
	want := embed.Vector{-0.3213618, 0.51144594, -0.0142408535, 0.07785433, 0.40699163, -0.48354113, 0.4594744, -0.13533153}
	if len(got) != len(want) {
		t.Fatalf("got %d dimensions", len(got))
	}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-6 {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func BenchmarkHashing(b *testing.B) {
	words := strings.Fields("the quick server reads every segment of its log while standby replicas archive configured directories and permissions of larger tables internally")
	var text strings.Builder
	for i := 0; text.Len() < 1000; i++ {
		text.WriteString(words[(i*i+3*i)%len(words)])
		text.WriteString([]string{" ", "s ", "ing ", "er "}[i%4])
	}
	in := slices.Repeat([]string{text.String()}, 100)
	b.SetBytes(int64(100 * text.Len()))
	for b.Loop() {
		if _, err := (embed.Hashing{}).Embed(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
}
