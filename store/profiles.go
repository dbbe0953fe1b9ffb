package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// ProfileKind is how a profile's vectors are made.
type ProfileKind string

// The kinds of profiles. Hashing is computed in process and lexical; OpenAI is
// an HTTP endpoint of that shape.
const (
	ProfileHashing ProfileKind = "hashing"
	ProfileOpenAI  ProfileKind = "openai"
)

// ProfileState is where a profile stands: one is active and answers queries;
// building ones are filled beside it.
type ProfileState string

// The states of a profile.
const (
	ProfileBuilding ProfileState = "building"
	ProfileActive   ProfileState = "active"
	ProfileRetired  ProfileState = "retired"
)

// Profile is an embedding profile: model, dimensions and settings.
type Profile struct {
	ID         int16             `json:"id"`
	Name       string            `json:"name"`
	Kind       ProfileKind       `json:"kind"`
	Model      string            `json:"model"`
	Dimensions int               `json:"dimensions"`
	URL        string            `json:"url,omitempty"`
	APIKeyFile string            `json:"api_key_file,omitempty"`
	Settings   map[string]string `json:"settings"`
	State      ProfileState      `json:"state"`
	Version    int               `json:"version"`
	Error      string            `json:"error,omitempty"`
	CreatedAt  time.Time         `json:"created_at"`
}

// Local reports whether vectors of the profile are made in process, with the
// batch that writes the chunks.
func (p Profile) Local() bool { return p.Kind == ProfileHashing }

const profileColumns = `id, name, kind, model, dimensions, url, api_key_file, settings, state, version, error, created_at`

// CreateProfile makes a profile and its vector table; FillTodo then queues the
// stored chunks. The first profile becomes active at once. Events are recorded
// with it. A name that is taken is ErrConflict.
func (s *Store) CreateProfile(ctx context.Context, p Profile, events ...audit.Event) (Profile, error) {
	err := s.createProfile(ctx, &p, events)
	for deadline := time.Now().Add(lockPatience); errors.Is(err, ErrTimeout) && ctx.Err() == nil && time.Now().Before(deadline); {
		err = s.createProfile(ctx, &p, events)
	}
	if pgCode(err) == stateCheckViolation {
		return Profile{}, &InputError{Field: "profile", Problem: "name must be 1 to 63 of a-z, 0-9, dot, dash and underscore; dimensions must be 1 to 4000"}
	}
	if errors.Is(err, ErrConflict) {
		return Profile{}, fmt.Errorf("a profile named %q exists: %w", p.Name, ErrConflict)
	}
	if err != nil {
		return Profile{}, err
	}
	return s.Profile(ctx, p.Name)
}

// createProfile tries once. It is an ErrTimeout while batches keep it from the
// lock, for which no batch waits longer than the time limit of locks.
func (s *Store) createProfile(ctx context.Context, p *Profile, events []audit.Event) error {
	return s.inTxErr(ctx, "creating profile", func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO embedding_profile (name, kind, model, dimensions, url, api_key_file, settings, state)
			SELECT $1, $2, $3, $4, $5, $6, $7, CASE WHEN EXISTS (SELECT FROM embedding_profile WHERE state = 'active') THEN 'building' ELSE 'active' END
			RETURNING id`, p.Name, p.Kind, p.Model, p.Dimensions, p.URL, p.APIKeyFile, nonNil(p.Settings)).Scan(&p.ID)
		if err != nil {
			return err
		}
		// Waits for batches in flight: one that writes chunks later reads the
		// list of profiles after it.
		if _, err := tx.Exec(ctx, `LOCK TABLE chunk IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `SELECT create_vector_table($1)`, p.ID); err != nil {
			return err
		}
		return recordAll(ctx, tx, p.Name, events)
	})
}

// EnsureProfile returns the profile of p's name, making it if needed. Several
// processes may call it at once.
func (s *Store) EnsureProfile(ctx context.Context, p Profile) (Profile, error) {
	got, err := s.Profile(ctx, p.Name)
	if !errors.Is(err, ErrNotFound) {
		return got, err
	}
	got, err = s.CreateProfile(ctx, p)
	if errors.Is(err, ErrConflict) {
		return s.Profile(ctx, p.Name)
	}
	return got, err
}

// Profiles lists the profiles by id.
func (s *Store) Profiles(ctx context.Context) ([]Profile, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+profileColumns+` FROM embedding_profile ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("listing profiles: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Profile])
	if err != nil {
		return nil, fmt.Errorf("listing profiles: %w", err)
	}
	return list, nil
}

// Profile finds a profile by name, or returns ErrNotFound.
func (s *Store) Profile(ctx context.Context, name string) (Profile, error) {
	return s.profileWhere(ctx, `name = $1`, name)
}

// ActiveProfile returns the profile that answers queries, or ErrNotFound.
func (s *Store) ActiveProfile(ctx context.Context) (Profile, error) {
	return s.profileWhere(ctx, `state = $1`, string(ProfileActive))
}

// ProfileByID returns a profile, or ErrNotFound.
func (s *Store) ProfileByID(ctx context.Context, id int16) (Profile, error) {
	return s.profileWhere(ctx, `id = $1::smallint`, strconv.Itoa(int(id)))
}

func (s *Store) profileWhere(ctx context.Context, where, arg string) (Profile, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+profileColumns+` FROM embedding_profile WHERE `+where, arg)
	if err != nil {
		return Profile{}, fmt.Errorf("reading profile: %w", err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Profile])
	if errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("embedding profile %q: %w", arg, ErrNotFound)
	}
	if err != nil {
		return p, fmt.Errorf("reading profile: %w", err)
	}
	return p, nil
}

// ActivateProfile makes a profile answer queries from the next one on. It is
// refused while chunks wait for their vectors, unless force is set. Events are
// recorded with it.
func (s *Store) ActivateProfile(ctx context.Context, name string, force bool, events ...audit.Event) error {
	return s.inTxErr(ctx, "activating profile", func(tx pgx.Tx) error {
		var id int16
		var waiting int64
		err := tx.QueryRow(ctx, `
			SELECT p.id, CASE WHEN p.filled THEN (SELECT count(*) FROM embed_todo t WHERE t.profile_id = p.id) ELSE (SELECT count(*) FROM chunk) END
			FROM embedding_profile p WHERE name = $1 FOR UPDATE OF p`, name).Scan(&id, &waiting)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("embedding profile %q: %w", name, ErrNotFound)
		}
		if err != nil {
			return err
		}
		if waiting > 0 && !force {
			return &InputError{Field: "profile", Problem: fmt.Sprintf("%d chunks still wait for their vectors: wait until `tributary profiles list` shows 0, or use --force", waiting)}
		}
		if _, err := tx.Exec(ctx, `UPDATE embedding_profile SET state = 'building' WHERE state = 'active' AND id <> $1`, id); err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `UPDATE embedding_profile SET state = 'active' WHERE id = $1`, id); err != nil {
			return err
		}
		return recordAll(ctx, tx, name, events)
	})
}

// ProfileProgress is how far a profile is filled.
type ProfileProgress struct {
	Profile string `json:"profile"`
	Pending int64  `json:"pending"`
	Failed  int64  `json:"failed"`
	Vectors int64  `json:"vectors"`
	Error   string `json:"error,omitempty"`
}

// ProfileProgress counts what waits. Failed chunks were refused by the model
// and are tried again once a day.
func (s *Store) ProfileProgress(ctx context.Context, p Profile) (ProfileProgress, error) {
	out := ProfileProgress{Profile: p.Name, Error: p.Error}
	err := s.pool.QueryRow(ctx, `
		SELECT count(*), count(*) FILTER (WHERE error <> ''), (SELECT count(*) FROM `+vectorTable(p.ID)+`)
		FROM embed_todo WHERE profile_id = $1`, p.ID).Scan(&out.Pending, &out.Failed, &out.Vectors)
	if err != nil {
		return out, fmt.Errorf("counting vectors: %w", err)
	}
	return out, nil
}
