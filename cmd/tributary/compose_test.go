package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"

	"tributary/internal/pgserver"
	"tributary/internal/settings"
	"tributary/store"
)

const repository = "../.."

// composeFile is what the test reads of docker-compose.yml.
type composeFile struct {
	Services map[string]composeService
	Secrets  map[string]struct{ File string }
}

type composeService struct {
	Entrypoint  []string
	Command     []string
	Environment map[string]string
	Volumes     []string
	Secrets     []string
	Restart     string
	Healthcheck struct{ Test []string }
	StopGrace   string `yaml:"stop_grace_period"`
}

// composeSite runs the services of the compose file without Docker: the same
// commands with the same environment, hosts and paths substituted.
type composeSite struct {
	*site
	file    composeFile
	server  *pgserver.Server
	secrets string
	addr    string
	metrics map[string]string
}

func newComposeSite(t *testing.T) *composeSite {
	t.Helper()
	c := &composeSite{site: newSite(t), metrics: map[string]string{}}
	text, err := os.ReadFile(filepath.Join(repository, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &c.file); err != nil {
		t.Fatal(err)
	}
	c.addr = c.setting("TRIBUTARY_ADDR")
	c.server = scratchServer(t, c.dir, c.file.Services["postgres"].Environment["POSTGRES_DB"])
	c.makeSecrets()
	return c
}

// makeSecrets makes the secrets as the compose file's header says, and points
// them to the scratch server.
func (c *composeSite) makeSecrets() {
	c.t.Helper()
	c.secrets = filepath.Join(c.dir, "secrets")
	out, err := exec.CommandContext(c.t.Context(), filepath.Join(repository, "deploy", "make-secrets.sh"), c.secrets).CombinedOutput()
	if err != nil {
		c.t.Fatalf("make-secrets.sh: %v\n%s", err, out)
	}
	super := c.superuser()
	if err := os.WriteFile(filepath.Join(c.secrets, "postgres_password"), []byte(super.Password), 0o600); err != nil {
		c.t.Fatal(err)
	}
	for _, name := range []string{"database_url", "migrate_database_url"} {
		path := filepath.Join(c.secrets, name)
		text, err := os.ReadFile(path)
		if err != nil {
			c.t.Fatal(err)
		}
		local := strings.Replace(string(text), "@postgres:5432/", "@/", 1) + "?host=" + super.Host + "&sslmode=disable"
		if local == string(text) || os.WriteFile(path, []byte(local), 0o600) != nil {
			c.t.Fatalf("%s names another host than the service postgres: the test cannot substitute it", name)
		}
	}
}

func (c *composeSite) superuser() *pgx.ConnConfig {
	c.t.Helper()
	cfg, err := pgx.ParseConfig(c.server.SuperuserURL("postgres"))
	if err != nil {
		c.t.Fatal(err)
	}
	return cfg
}

// value substitutes hosts and paths of the container in a value.
func (c *composeSite) value(service, name, v string) string {
	switch name {
	case "PGHOST":
		return c.superuser().Host
	case "PGUSER":
		return c.superuser().User
	case "TRIBUTARY_METRICS_ADDR":
		if c.metrics[service] == "" {
			c.metrics[service] = freeAddr(c.t)
		}
		return c.metrics[service]
	case "TRIBUTARY_PUBLIC_URL":
		return "http://" + c.addr
	case "TRIBUTARY_ADDR":
		return strings.Replace(v, "8080", strings.TrimPrefix(c.addr, "127.0.0.1:"), 1)
	}
	for name, secret := range c.file.Secrets {
		v = strings.ReplaceAll(v, "/run/secrets/"+name, filepath.Join(c.secrets, filepath.Base(secret.File)))
	}
	v = strings.ReplaceAll(v, "/var/lib/tributary-keys", filepath.Join(c.dir, "keys"))
	v = strings.ReplaceAll(v, "/var/lib/tributary", filepath.Join(c.dir, "var-"+service))
	repo, err := filepath.Abs(repository)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, volume := range c.file.Services[service].Volumes {
		source, target, _ := strings.Cut(volume, ":")
		target, _, _ = strings.Cut(target, ":")
		if strings.HasPrefix(source, "./") {
			v = strings.ReplaceAll(v, target, filepath.Join(repo, source))
		}
	}
	return strings.ReplaceAll(v, "8080", strings.TrimPrefix(c.addr, "127.0.0.1:"))
}

// environment returns the environment of a service.
func (c *composeSite) environment(service string) []string {
	env := []string{"PATH=" + filepath.Dir(binary(c.t)) + ":" + c.server.Installation().BinDir + ":" + os.Getenv("PATH"), "HOME=" + c.dir}
	vars := c.file.Services[service].Environment
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+c.value(service, name, vars[name]))
	}
	return env
}

// command returns the command line of a service; $$ is how compose writes $.
func (c *composeSite) command(service string) *exec.Cmd {
	svc := c.file.Services[service]
	entrypoint := svc.Entrypoint
	if len(entrypoint) == 0 {
		entrypoint = []string{binary(c.t)} // the image's
	}
	var args []string
	for _, arg := range append(slices.Clone(entrypoint), svc.Command...) {
		args = append(args, c.value(service, "", strings.ReplaceAll(arg, "$$", "$")))
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = c.environment(service), c.dir
	return cmd
}

// once runs a one-shot service to its end.
func (c *composeSite) once(service string) (string, int) {
	c.t.Helper()
	d := c.launch(service)
	select {
	case <-d.exited:
	case <-time.After(commandLimit):
		c.t.Fatalf("service %s does not end:\n%s", service, d.out)
	}
	return d.out.String(), d.cmd.ProcessState.ExitCode()
}

func (c *composeSite) launch(service string) *daemon {
	c.t.Helper()
	return c.startCommand(c.command(service))
}

// TestComposeServices starts what the compose file starts, in its order, and
// gets a question answered.
func TestComposeServices(t *testing.T) {
	t.Parallel()
	c := newComposeSite(t)
	if out, code := c.once("roles"); code != 0 {
		t.Fatalf("roles ended with %d:\n%s", code, out)
	}
	// Started too early, serve and worker refuse the schema and say what to run.
	for _, service := range []string{"serve", "worker"} {
		if out, code := c.once(service); code != exitSchema || !strings.Contains(out, "tributary migrate up") {
			t.Errorf("%s on an empty database ended with %d:\n%s", service, code, out)
		}
	}
	for range 2 {
		if out, code := c.once("migrate"); code != exitOK {
			t.Fatalf("migrate ended with %d:\n%s", code, out)
		}
	}
	serve, worker := c.launch("serve"), c.launch("worker")
	serve.await("msg=serving")
	worker.await("msg=working")
	c.checkHealth()
	c.checkWorkerHealth()
	if out, code := c.once("demo"); code != exitOK || !strings.Contains(out, "documents in") {
		t.Fatalf("demo ended with %d:\n%s", code, out)
	}
	c.checkAnswer()
	for name, d := range map[string]*daemon{"serve": serve, "worker": worker} {
		began := time.Now()
		if code := d.signal(syscall.SIGTERM); code != exitOK {
			t.Errorf("%s ended with %d:\n%s", name, code, d.out)
		}
		grace, err := time.ParseDuration(c.file.Services[name].StopGrace)
		if err != nil || time.Since(began) > grace {
			t.Errorf("%s took %s to stop, and is given %s (%v)", name, time.Since(began), grace, err)
		}
	}
}

// checkHealth runs the health check of the compose file.
func (c *composeSite) checkHealth() {
	c.t.Helper()
	test := c.file.Services["serve"].Healthcheck.Test
	if len(test) < 2 || test[0] != "CMD" {
		c.t.Fatalf("serve has no health check: %q", test)
	}
	var args []string
	for _, arg := range test[1:] {
		args = append(args, c.value("serve", "", strings.ReplaceAll(arg, "$$", "$")))
	}
	if out, err := exec.CommandContext(c.t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
		c.t.Errorf("the health check fails: %v\n%s", err, out)
	}
}

func (c *composeSite) checkWorkerHealth() {
	c.t.Helper()
	if got := c.fetch("http://" + c.metrics["worker"] + "/readyz"); got != "ready\n" {
		c.t.Errorf("the worker is %q", got)
	}
}

// checkAnswer makes a key inside the service serve, as docker compose exec
// would, and asks over HTTP.
func (c *composeSite) checkAnswer() {
	c.t.Helper()
	inside := &site{t: c.t, dir: c.dir, env: c.environment("serve")}
	inside.must(exitOK, "readers", "create", "ada", "--link", "unix:"+reader(c.t))
	key := mustJSON[struct{ Secret, Curl string }](inside, exitOK, "keys", "create", "k", "--reader", "ada", "--connections", "demo")
	status, body := c.post(key.Secret, `{"query": "plain http on loopback", "k": 3}`)
	var answer store.SearchResponse
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK || len(answer.Results) == 0 {
		c.t.Fatalf("status %d: %s (%v)", status, body, err)
	}
	if !strings.Contains(key.Curl, "http://"+c.addr+"/v1/search") {
		c.t.Errorf("the curl line names another address: %s", key.Curl)
	}
}

// TestComposeSettings reads the environment of every service of ours as the
// program does, before any substitution of addresses.
func TestComposeSettings(t *testing.T) {
	t.Parallel()
	var file composeFile
	text, err := os.ReadFile(filepath.Join(repository, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(secret, []byte("postgres://u:p@postgres:5432/tributary"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"migrate", "serve", "worker", "demo"} {
		var env []string
		for name, v := range file.Services[service].Environment {
			if strings.HasPrefix(v, "/run/secrets/") {
				v = secret
			}
			if _, fallback, ok := strings.Cut(v, ":-"); ok {
				v = strings.TrimSuffix(fallback, "}")
			}
			env = append(env, fmt.Sprintf("%s=%s", name, v))
		}
		if len(env) == 0 {
			t.Errorf("service %s has no environment", service)
		}
		if _, err := settings.Load(settings.Source{Environ: append(env, "HOME=/"), UID: 10001}); err != nil {
			t.Errorf("service %s: %v", service, err)
		}
	}
}
