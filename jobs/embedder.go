package jobs

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"tributary/internal/embed"
	"tributary/store"
)

// Embedder makes the vectors of a profile.
type Embedder = embed.Profile

// BuiltinProfile is the profile of a new instance: offline, lexical, and said
// to be so everywhere.
func BuiltinProfile() store.Profile {
	return store.Profile{Name: "builtin", Kind: store.ProfileHashing, Model: "feature-hashing (lexical, offline)", Dimensions: 384}
}

// Names of the settings of an OpenAI-compatible profile.
const (
	SettingQueryPrefix    = "query_prefix"
	SettingDocumentPrefix = "document_prefix"
	SettingNormalise      = "normalise"
	SettingSendDimensions = "send_dimensions"
	SettingBatchInputs    = "batch_inputs"
	SettingBatchTokens    = "batch_tokens"
)

// NewEmbedder makes the embedder that a profile describes. The API key is read
// from its file each time, so that a rotated key needs no restart.
func NewEmbedder(p store.Profile) (Embedder, error) {
	if p.Kind == store.ProfileHashing {
		return embed.Hashing{Dimensions: p.Dimensions}, nil
	}
	cfg := embed.Config{
		URL: p.URL, Model: p.Model, Dimensions: p.Dimensions,
		QueryPrefix: p.Settings[SettingQueryPrefix], DocumentPrefix: p.Settings[SettingDocumentPrefix],
		Normalise: p.Settings[SettingNormalise] == "true", SendDimensions: p.Settings[SettingSendDimensions] == "true",
	}
	for name, field := range map[string]*int{SettingBatchInputs: &cfg.MaxBatchInputs, SettingBatchTokens: &cfg.MaxBatchTokens} {
		if v := p.Settings[name]; v != "" {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 {
				return nil, &store.InputError{Field: name, Problem: "must be a whole number of at least 1"}
			}
			*field = n
		}
	}
	if p.APIKeyFile != "" {
		key, err := os.ReadFile(p.APIKeyFile)
		if err != nil {
			return nil, &store.InputError{Field: "api-key-file", Problem: fmt.Sprintf("%s cannot be read", p.APIKeyFile)}
		}
		cfg.APIKey = embed.NewSecret(strings.TrimSpace(string(key)))
	}
	return embed.NewOpenAI(cfg)
}

// EmbedQuery embeds a question with the active profile. It returns the
// profile's id with the vector; store.ErrNotFound where no profile is active.
func (r *Runner) EmbedQuery(ctx context.Context, query string) ([]float32, int16, error) {
	p, err := r.store.ActiveProfile(ctx)
	if err != nil {
		return nil, 0, err
	}
	e, err := r.cfg.Embedders(p)
	if err != nil {
		return nil, p.ID, err
	}
	v, err := e.EmbedQuery(ctx, query)
	return v, p.ID, err
}

// localProfile is a profile that is computed with the batch.
type localProfile struct {
	id       int16
	name     string
	embedder Embedder
}

func (l localProfile) embed(ctx context.Context, inputs []string) ([][]float32, error) {
	vectors, err := l.embedder.Embed(ctx, inputs)
	if err != nil {
		return nil, err
	}
	out := make([][]float32, len(vectors))
	for i, v := range vectors {
		out[i] = v
	}
	return out, nil
}

// loadLocalProfiles sorts the profiles into those that are computed here and
// those that a drainer fills.
func (s *syncer) loadLocalProfiles(ctx context.Context) error {
	list, err := s.r.store.Profiles(ctx)
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.State == store.ProfileRetired {
			continue
		}
		if !p.Local() {
			s.remotes = append(s.remotes, p.ID)
			continue
		}
		e, err := s.r.cfg.Embedders(p)
		if err != nil {
			return err
		}
		s.locals = append(s.locals, localProfile{id: p.ID, name: p.Name, embedder: e})
	}
	return nil
}
