package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/connectors/all"
	"tributary/connectors/folder"
	"tributary/internal/extract"
	"tributary/internal/settings"
	"tributary/jobs"
	"tributary/store"
	"tributary/web"
)

// connectors returns the connectors as data, for help and flags.
func (a *app) connectors() []connectors.Connector { return all.New(all.Config{}).All() }

// connectorList returns the connectors as this process runs them.
func (a *app) connectorList(s settings.Settings) all.List {
	return all.New(all.Config{Folder: folder.Config{AllowedRoots: s.FolderRoots, Sniff: sniff, Realm: fallbackRealm(s.DataDir)}})
}

// sniff says whether a file is a document that can be turned into text.
func sniff(name string, head []byte) (string, bool, string) {
	_, mediaType, ok := extract.Sniff(name, head)
	if !ok {
		return "", false, "not a document: " + mediaType
	}
	return mediaType, true, ""
}

const realmFile = "machine-id"

// fallbackRealm returns the id that stands for a machine without a machine id,
// such as a container: one is made and kept in the data directory. "" leaves
// the connector without one, which it says.
func fallbackRealm(dataDir string) string {
	path := filepath.Join(dataDir, realmFile)
	if b, err := os.ReadFile(path); err == nil {
		return strings.TrimSpace(string(b))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if hasMachineID() || os.MkdirAll(dataDir, 0o711) != nil { //nolint:gosec // the database's account passes through
		return ""
	}
	id := strings.ReplaceAll(uuid.NewString(), "-", "")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return ""
	}
	_, err = f.WriteString(id + "\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return ""
	}
	return id
}

func hasMachineID() bool {
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

// queryEmbedder embeds questions with the active profile.
type queryEmbedder struct{ store *store.Store }

// EmbedQuery implements web.QueryEmbedder.
func (q queryEmbedder) EmbedQuery(ctx context.Context, text string) ([]float32, int16, error) {
	p, err := q.store.ActiveProfile(ctx)
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, web.ErrNoProfile
	}
	if err != nil {
		return nil, 0, err
	}
	e, err := jobs.NewEmbedder(p)
	if err != nil {
		return nil, 0, err
	}
	v, err := e.EmbedQuery(ctx, text)
	return v, p.ID, err
}

// ensureProfile gives an instance without any embedding profile the built-in
// one.
func ensureProfile(ctx context.Context, st *store.Store) error {
	list, err := st.Profiles(ctx)
	if err != nil || len(list) > 0 {
		return err
	}
	_, err = st.EnsureProfile(ctx, jobs.BuiltinProfile())
	return err
}

// engine is what syncs: the jobs of this process.
type engine struct {
	runner    *jobs.Runner
	extractor *extract.Extractor
}

func (a *app) newEngine(ctx context.Context, s settings.Settings, st *store.Store, grants *consent, log *slog.Logger, workers int) (*engine, error) {
	cache := filepath.Join(s.DataDir, "cache")
	x := extract.New(extract.Config{CacheDir: cache})
	byName := map[string]connectors.Connector{}
	for _, c := range a.connectorList(s).All() {
		byName[c.Spec().Source] = c
	}
	r, err := jobs.New(jobs.Config{Store: st, Connectors: byName, Extractor: x, Authorise: grants.authorise, Refresher: grants.refresher(), Tend: grants.grants.Tend, Log: log, Version: version, Workers: workers, Clean: cleaner(a.cleanURL), Runs: store.RunRetention{Age: s.RunRetention, Last: s.RunRetentionLast}, Reads: s.ReadAuditRetention, KeyProblem: grants.keyProblem})
	if err != nil {
		return nil, errors.Join(err, x.Close(ctx))
	}
	return &engine{runner: r, extractor: x}, nil
}

// cleaner cleans the storage of tables that rows were erased from, as the role
// of address; nil where there is no such role.
func cleaner(address string) func(ctx context.Context, tables []string) (store.Cleaned, error) {
	if address == "" {
		return nil
	}
	return func(ctx context.Context, tables []string) (store.Cleaned, error) {
		return store.Clean(ctx, address, tables, false)
	}
}

// close ends the jobs and waits for them until ctx ends.
func (e *engine) close(ctx context.Context) error {
	return errors.Join(e.runner.Stop(ctx), e.extractor.Close(ctx))
}
