package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"tributary/internal/browsertest"
	"tributary/store"
)

// Questions of the new admin, each with what answers it.
const (
	drivesQuestion = "What was decided about salaries for 2027?"
	drivesAnswer   = "Salary review 2027: decision"
	travelQuestion = "which expenses are refunded"
	travelAnswer   = "Meals are refunded up to 40 euros a day"
	secretAnswer   = "bands are reviewed every April"
)

// TestChromiumFromMakeRun is a new admin in the first minutes: from what `make run` prints to a folder and a drive that were
// connected, and questions that are answered to those alone who may read the answer. One address is typed, the one that was
// printed. From there on, links, buttons and fields are found by what they are called.
func TestChromiumFromMakeRun(t *testing.T) {
	t.Parallel()
	n := &newcomer{site: newSite(t, demoEnv(t)...), b: browsertest.Start(t)}
	// The demo finds the project's docs from the working directory, and Go where its command says. A page of the one and a
	// file of the other are enough: what takes long in a demo is text to embed.
	docs, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	n.write("docs", map[string]string{"settings.md": string(docs)})
	n.env = append(n.env, "GOROOT="+n.write("go", map[string]string{"src/net/http/doc.go": "package http\n", "src/errors/errors.go": "// Package errors makes errors.\npackage errors\n"}))
	team := n.write("team", map[string]string{
		"travel.md":   "# Travel\n## Booking\nBook trains first.\n## Expenses\nSend receipts within 30 days. " + travelAnswer + ".\n",
		"salaries.md": "# Salaries\nSalary " + secretAnswer + "; expenses of moving house are refunded once.\n",
	})
	if err := os.Chmod(team+"/salaries.md", 0o600); err != nil {
		t.Fatal(err)
	}
	args := makeRun(t)
	up := n.start(args...)
	up.await("Ctrl-C stops Tributary.")
	n.signInAsTold(t, up.out.String())
	n.ownAccount(t)
	n.lookAtTheDemo(t)
	n.folderRefused()
	if code := up.stop(); code != exitOK {
		t.Errorf("up ended with %d:\n%s", code, up.out)
	}
	n.env = append(n.env, "TRIBUTARY_FOLDER_ROOTS="+team)
	n.start(args...).await("Ctrl-C stops Tributary.")
	n.connectFolder(team)
	n.readFolder(t)
	n.askByKey(t)
	n.connectPartOfDrive(t)
}

// makeRun returns how `make run` starts the program.
func makeRun(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", "--dry-run", "run")
	// What the make that runs the tests was told is not for this one.
	cmd.Dir, cmd.Env = "../..", []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^bin/tributary (.+)$`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("make run starts no program:\n%s", out)
	}
	return strings.Fields(string(m[1]))
}

// signInAsTold opens the address that was printed and signs in as it was printed.
func (n *newcomer) signInAsTold(t *testing.T, out string) {
	t.Helper()
	m := regexp.MustCompile(`Sign in at (\S+) as (\S+) with\n\n  (\S+)\n`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no address to sign in at:\n%s", out)
	}
	n.b.Open(m[1])
	n.signIn(m[2], m[3])
	n.b.See("Overview")
	n.look("overview")
}

// ownAccount makes an owner of the new admin's own name, and goes on as that.
func (n *newcomer) ownAccount(t *testing.T) {
	t.Helper()
	n.b.Press("Users")
	password := n.makeAccount(t, "ada", "owner")
	n.look("one-time-password")
	n.b.Press("Done")
	n.b.Press("Sign out")
	n.b.Press("Sign in")
	n.signIn("ada", password)
	n.firstPassword(password)
	n.look("own-account")
}

// lookAtTheDemo looks at what is connected, and asks in the places of the demo's people.
func (n *newcomer) lookAtTheDemo(t *testing.T) {
	t.Helper()
	n.b.Press("Overview")
	n.b.See("demo-docs")
	n.look("demo")
	n.b.Press("demo-drive")
	n.b.See("214 in 217 chunks")
	n.b.Press("Connections")
	n.ask("demo-priya", drivesQuestion, "All")
	n.b.See(drivesAnswer)
	n.look("priya")
	n.ask("demo-greta", drivesQuestion, "All")
	n.b.See("for demo-greta")
	n.unseen(t, drivesAnswer)
}

// ask asks in the place of a reader, in one connection or in "All".
func (n *newcomer) ask(who, question, connection string) {
	n.b.Press("Search")
	n.b.Fill("Question", question)
	n.b.Fill("In the place of", who)
	n.b.Push("Only some documents")
	n.b.Pick("Connection", connection)
	n.b.Press("Ask")
	n.b.See("for " + who)
}

func (n *newcomer) unseen(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(n.b.Text(), text) {
		t.Errorf("%s shows %q:\n%s", n.b.Address(), text, n.b.Text())
	}
}

// folderRefused reads why no folder can be connected, which whoever starts the program decides.
func (n *newcomer) folderRefused() {
	n.b.Press("Connections")
	n.b.Press("Connect a source")
	n.b.See("TRIBUTARY_FOLDER_ROOTS")
	n.look("gallery")
}

// connectFolder goes through every step, from the gallery to the end of the first sync.
func (n *newcomer) connectFolder(dir string) {
	n.b.Press("Connections")
	n.b.Press("Connect a source")
	n.b.Press("Connect a folder")
	n.b.See("Step 1 of 5")
	n.b.Fill("Name of the connection", "team")
	n.b.Fill("Directory", dir)
	n.look("folder")
	n.b.Press("Connect")
	n.b.See("Step 2 of 5")
	n.look("folder-choose")
	n.b.Press("Save and go on")
	n.toFirstSync("2", "2 added")
}

// toFirstSync goes from the plan to the end of the first sync.
func (n *newcomer) toFirstSync(documents, added string) {
	n.b.See("What the first sync would do")
	n.b.See("Documents to add " + documents)
	n.b.See("Who will be able to read this")
	n.look("plan")
	n.b.Press("Go on to the schedule")
	n.b.See("Step 4 of 5")
	n.b.Press("Save and go on")
	n.b.See("Step 5 of 5")
	n.b.Press("Start the first sync")
	n.b.See(added)
	n.b.See("The last 1 run: 1 done")
	n.look("synced")
}

// readFolder makes a reader of somebody who may read one of the two files, and asks in three places.
func (n *newcomer) readFolder(t *testing.T) {
	t.Helper()
	n.link("team", "nobody", "guest")
	n.ask(reader(t), travelQuestion, "team")
	n.b.See(travelAnswer)
	n.b.See(secretAnswer)
	n.ask("guest", travelQuestion, "team")
	n.b.See(travelAnswer)
	n.unseen(t, secretAnswer)
	n.look("guest")
	n.ask("demo-greta", travelQuestion, "team")
	n.b.See("Nothing found for demo-greta")
	n.unseen(t, travelAnswer)
	n.look("nothing")
}

// link makes a reader of a person whom a source names.
func (n *newcomer) link(connection, person, reader string) {
	n.b.Press("Readers")
	n.b.Press("Unmatched people")
	n.b.Fill("Connection", connection)
	n.b.Press("Show")
	n.b.Push("Choose a reader for " + person)
	n.b.Fill("Name of the reader", reader)
	n.look("unmatched-" + reader)
	n.b.Press("Make it and link")
	n.look("linked-" + reader)
}

// askByKey makes a key that asks for the reader, and runs what the pages offer to run with it.
func (n *newcomer) askByKey(t *testing.T) {
	t.Helper()
	n.b.Press("Readers")
	n.b.Press("guest")
	n.b.Press("Make a key for it")
	n.b.Fill("Name", "chat")
	n.b.Tick("team")
	n.look("key")
	n.b.Press("Make the key")
	secret := n.b.Value("secret")
	n.look("secret")
	curl := regexp.MustCompile(`(?s)read -rs KEY.*}'`).FindString(n.b.Text())
	answered(t, shell(t, n.site, "echo "+secret+" | bash -c "+shellQuote(curl)), "Travel")
	n.b.Press("Done")
	n.ask("guest", travelQuestion, "team")
	n.b.Push("The same in curl")
	n.look("curl")
	answered(t, shell(t, n.site, "TRIBUTARY_KEY="+secret+"\n"+n.b.Value("copy-curl")), "Travel")
}

// answered looks for nothing but documents of a title in an answer of the API.
func answered(t *testing.T, body, title string) {
	t.Helper()
	var answer store.SearchResponse
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Results) == 0 {
		t.Fatalf("the API answers %s (%v)", body, err)
	}
	for _, r := range answer.Results {
		if r.Title != title {
			t.Errorf("the API gives out %q", r.Title)
		}
	}
}

// connectPartOfDrive connects one folder of Sandbox Drive by the consent of somebody else than the demo's, and asks in the
// place of a person of it who becomes a reader with one click.
func (n *newcomer) connectPartOfDrive(t *testing.T) {
	t.Helper()
	n.b.Press("Connections")
	n.b.Press("Connect a source")
	n.b.Press("Connect through demo-drive")
	n.b.Fill("Name of the connection", "finance")
	n.b.Press("Go on")
	n.b.Press("Continue to localhost")
	n.b.Press("Matteo Ricci")
	n.b.Press("Allow")
	n.b.See("Connected")
	n.b.Press("Go on")
	n.b.Tick("Only what is chosen below")
	n.b.Tick("Finance")
	n.b.Press("Save and go on")
	n.toFirstSync("7", "7 added")
	n.link("finance", "Elke Baumann", "elke")
	n.ask("elke", "budget", "finance")
	n.b.See("Budget 2027")
	n.look("elke")
	n.ask("demo-greta", "budget", "finance")
	n.b.See("Nothing found for demo-greta")
}
