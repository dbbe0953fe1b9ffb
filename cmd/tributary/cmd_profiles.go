package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/internal/embed"
	"tributary/jobs"
	"tributary/store"
)

func profilesCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "profiles", Short: "The embedding profiles: model, dimensions and endpoint",
		Example: "  tributary profiles create local --url http://127.0.0.1:11434/v1 --model nomic-embed-text --dimensions 768\n" +
			"  tributary profiles test local\n  tributary profiles activate local",
	}, profilesList(a), profilesCreate(a), profilesTest(a), profilesActivate(a))
}

func profilesList(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "list", Short: "List the profiles and how far each is filled", Example: "  tributary profiles list --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		list, err := st.Profiles(ctx)
		if err != nil {
			return err
		}
		type row struct {
			store.Profile
			Progress store.ProfileProgress `json:"progress"`
		}
		rows := []row{}
		t := newTable("NAME", "STATE", "MODEL", "DIMENSIONS", "VECTORS", "WAITING", "REFUSED", "ERROR")
		for _, p := range list {
			progress, err := st.ProfileProgress(ctx, p)
			if err != nil {
				return err
			}
			rows = append(rows, row{p, progress})
			t.add(p.Name, string(p.State), p.Model, strconv.Itoa(p.Dimensions), strconv.FormatInt(progress.Vectors, 10),
				strconv.FormatInt(progress.Pending, 10), strconv.FormatInt(progress.Failed, 10), shorten(progress.Error, 60))
		}
		if a.json {
			return a.printJSON(rows)
		}
		return t.write(a.stdout, "There are no profiles; tributary up makes the built-in one.")
	})
}

// profileFlags are the flags of profiles create.
type profileFlags struct {
	profile                     store.Profile
	queryPrefix, documentPrefix string
	normalise, sendDimensions   bool
	batchInputs, batchTokens    int
	skipTest                    bool
}

func profilesCreate(a *app) *cobra.Command {
	var f profileFlags
	cmd := storeCommand(a, &cobra.Command{
		Use: "create NAME", Short: "Make a profile of an OpenAI-compatible endpoint",
		Long: `Make an embedding profile of an endpoint that speaks the OpenAI shape: OpenAI,
Ollama, vLLM, text-embeddings-inference. The endpoint is tried before anything is
saved. Stored chunks are embedded beside the active profile; tributary profiles
activate switches over without downtime.`,
		Example: "  tributary profiles create local --url http://127.0.0.1:11434/v1 --model nomic-embed-text --dimensions 768\n" +
			"  tributary profiles create openai --url https://api.openai.com/v1 --model text-embedding-3-small --dimensions 1536 --api-key-file key.txt",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		p, err := f.build(args[0])
		if err != nil {
			return err
		}
		if !f.skipTest {
			if _, err := testProfile(ctx, p); err != nil {
				return err
			}
		}
		detail := map[string]string{"kind": string(p.Kind), "model": p.Model, "url": p.URL}
		if p, err = st.CreateProfile(ctx, p, a.event("profile.create", audit.Target{Kind: "profile", ID: p.Name}, detail)); err != nil {
			return err
		}
		next := "Fill it by a running tributary up or worker, then: tributary profiles activate " + p.Name
		if p.State == store.ProfileActive {
			next = "It is active."
		}
		return a.done("Made profile "+p.Name+". "+next, p)
	})
	flags := cmd.Flags()
	flags.StringVar(&f.profile.URL, "url", "", "the endpoint up to and without /embeddings, such as http://127.0.0.1:11434/v1 (required)")
	flags.StringVar(&f.profile.Model, "model", "", "the model's name at the endpoint (required)")
	flags.IntVar(&f.profile.Dimensions, "dimensions", 0, "how many numbers a vector has, 1 to 4000 (required)")
	flags.StringVar(&f.profile.APIKeyFile, "api-key-file", "", "file that holds the API key; it is read at every use")
	flags.StringVar(&f.queryPrefix, "query-prefix", "", "text that the model wants before a question")
	flags.StringVar(&f.documentPrefix, "document-prefix", "", "text that the model wants before a document")
	flags.BoolVar(&f.normalise, "normalise", false, "scale vectors to length 1")
	flags.BoolVar(&f.sendDimensions, "send-dimensions", false, "ask the endpoint for vectors of this length")
	flags.IntVar(&f.batchInputs, "batch-inputs", 0, "chunks in a request at most; 0 = the built-in choice")
	flags.IntVar(&f.batchTokens, "batch-tokens", 0, "tokens in a request at most; 0 = the built-in choice")
	flags.BoolVar(&f.skipTest, "skip-test", false, "save it without trying the endpoint")
	return cmd
}

// build checks the flags and returns the profile.
func (f profileFlags) build(name string) (store.Profile, error) {
	p := f.profile
	p.Name, p.Kind, p.Settings = name, store.ProfileOpenAI, map[string]string{}
	switch {
	case p.URL == "":
		return p, usagef("--url is missing: where does the endpoint listen, such as http://127.0.0.1:11434/v1")
	case p.Model == "":
		return p, usagef("--model is missing: what is the model's name at the endpoint")
	case p.Dimensions < 1 || p.Dimensions > 4000:
		return p, usagef("--dimensions: must be 1 to 4000")
	case f.batchInputs < 0 || f.batchTokens < 0:
		return p, usagef("--batch-inputs and --batch-tokens: must not be negative")
	}
	if p.APIKeyFile != "" {
		abs, err := filepath.Abs(p.APIKeyFile)
		if err != nil {
			return p, usagef("--api-key-file: write an absolute path")
		}
		p.APIKeyFile = abs
	}
	for key, value := range map[string]string{
		jobs.SettingQueryPrefix: f.queryPrefix, jobs.SettingDocumentPrefix: f.documentPrefix,
		jobs.SettingNormalise: boolSetting(f.normalise), jobs.SettingSendDimensions: boolSetting(f.sendDimensions),
		jobs.SettingBatchInputs: intSetting(f.batchInputs), jobs.SettingBatchTokens: intSetting(f.batchTokens),
	} {
		if value != "" {
			p.Settings[key] = value
		}
	}
	return p, nil
}

func boolSetting(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func intSetting(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// testProfile embeds one sentence. A mistake in the settings is a usage error.
func testProfile(ctx context.Context, p store.Profile) (embed.Info, error) {
	e, err := jobs.NewEmbedder(p)
	if err != nil {
		return embed.Info{}, profileUsage(err)
	}
	info, err := e.Test(ctx)
	return info, profileUsage(err)
}

func profileUsage(err error) error {
	if err != nil && embed.ClassOf(err) == embed.Invalid {
		return usagef("%s", err)
	}
	return err
}

func profilesTest(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "test NAME", Short: "Embed one sentence and report what came back", Example: "  tributary profiles test local",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		p, err := st.Profile(ctx, args[0])
		if err != nil {
			return err
		}
		info, err := testProfile(ctx, p)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(map[string]any{
				"profile": p.Name, "model": info.Model, "dimensions": info.Dimensions, "latency_ms": info.LatencyMS,
				"normalised": info.Normalised, "lexical": info.Lexical,
			})
		}
		kind := "vectors of meaning"
		if info.Lexical {
			kind = "lexical vectors: they compare words, not meanings"
		}
		a.printf("%s works: %s, %d dimensions, %d ms, %s.\n", p.Name, info.Model, info.Dimensions, info.LatencyMS, kind)
		return nil
	})
}

func profilesActivate(a *app) *cobra.Command {
	var force bool
	cmd := storeCommand(a, &cobra.Command{
		Use: "activate NAME", Short: "Let a profile answer questions from the next one on",
		Long:    "Let a profile answer questions from the next one on. It is refused while chunks wait for their vectors, unless --force is given.",
		Example: "  tributary profiles activate local",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		p, err := st.Profile(ctx, args[0])
		if err != nil {
			return err
		}
		filled, err := st.Filled(ctx, p.ID)
		if err != nil {
			return err
		}
		if !filled && !force {
			return fmt.Errorf("profile %s has not seen every stored chunk yet: let tributary up or worker run until tributary profiles list shows 0 waiting, or use --force", p.Name)
		}
		err = st.ActivateProfile(ctx, args[0], force, a.event("profile.activate", audit.Target{Kind: "profile", ID: args[0]}, nil))
		if input, ok := errors.AsType[*store.InputError](err); ok {
			return errors.New(strings.TrimPrefix(input.Error(), input.Field+": "))
		}
		if err != nil {
			return err
		}
		return a.done("Profile "+args[0]+" answers questions from now on.", map[string]any{"active": args[0]})
	})
	cmd.Flags().BoolVar(&force, "force", false, "even while chunks wait for their vectors")
	return cmd
}
