package settings

import "strconv"

// Prefix starts the name of every environment variable that is a setting.
const Prefix = "TRIBUTARY_"

// FileSuffix ends the name of the variable that names a secret's file.
const FileSuffix = "_FILE"

// Def describes one setting.
type Def struct {
	// Name is the name without Prefix: "ADDR".
	Name string
	// Flag is the name of the command-line flag without dashes. A secret has
	// none, because a command line is visible to every account of the machine;
	// its file has.
	Flag string
	// Default is what applies when nothing is set, as the reference shows it.
	Default string
	// Form says how a value is written.
	Form string
	// Help says what the setting does, in one or two sentences.
	Help string
	// Secret values may come from a file named by Name + FileSuffix.
	Secret bool
	// Listener settings matter only to commands that listen.
	Listener bool
}

// Variable returns the name of d's environment variable.
func (d Def) Variable() string { return Prefix + d.Name }

// The names of the settings.
const (
	addrName            = "ADDR"
	publicURLName       = "PUBLIC_URL"
	tlsCertName         = "TLS_CERT"
	tlsKeyName          = "TLS_KEY"
	trustedProxiesName  = "TRUSTED_PROXIES"
	metricsAddrName     = "METRICS_ADDR"
	dataDirName         = "DATA_DIR"
	databaseURLName     = "DATABASE_URL"
	migrateDatabaseName = "MIGRATE_DATABASE_URL"
	masterKeyFileName   = "MASTER_KEY_FILE"
	sandboxAddrName     = "SANDBOX_ADDR"
	onUncertainName     = "ON_UNCERTAIN"
	folderRootsName     = "FOLDER_ROOTS"
	keyPerMinuteName    = "KEY_PER_MINUTE"
	keyReadersName      = "KEY_READERS_PER_MINUTE"
	runsForName         = "RUN_RETENTION"
	runsLastName        = "RUN_RETENTION_LAST"
	feedForName         = "FEED_RETENTION"
	readAuditName       = "READ_AUDIT"
	readQueriesName     = "READ_AUDIT_QUERIES"
	readsForName        = "READ_AUDIT_RETENTION"
)

const (
	defaultAddr    = "127.0.0.1:8080"
	defaultMetrics = "127.0.0.1:9090"
	// The defaults of what keys may do.
	defaultKeyPerMinute = 6000
	defaultKeyReaders   = 100
	// The values of ON_UNCERTAIN.
	replayUncertain = "replay"
	reauthUncertain = "reauth"
	defaultRunsFor  = "30d"
	defaultRunsLast = "20"
	defaultFeedFor  = "7d"
	defaultReadsFor = "365d"
	// The values of READ_AUDIT, and of READ_AUDIT_QUERIES.
	readsOn, readsStrict    = "on", "strict"
	queriesOff, queriesKept = "off", "on"
)

// Table returns every setting, in the order of the reference page.
func Table() []Def { return append(placeSettings(), useSettings()...) }

// placeSettings say where the instance listens and keeps what.
func placeSettings() []Def {
	return []Def{
		{
			Name: addrName, Flag: "addr", Default: defaultAddr, Form: "host:port", Listener: true,
			Help: "Where the web server listens. Plain http is served on a loopback address only, unless `TRUSTED_PROXIES` says who may connect.",
		},
		{
			Name: publicURLName, Flag: "public-url", Default: "`http://` + `ADDR`, or `https://` with TLS", Form: "http(s)://host[:port]", Listener: true,
			Help: "The address that people and programs use: the only source of links and redirect URIs. Requests for another host are answered with 421. It must be https, except on a loopback host.",
		},
		{
			Name: tlsCertName, Flag: "tls-cert", Form: "path of a PEM file", Listener: true,
			Help: "The certificate chain of the web server. Needs `TLS_KEY`.",
		},
		{
			Name: tlsKeyName, Flag: "tls-key", Form: "path of a PEM file", Listener: true,
			Help: "The private key of the certificate. Needs `TLS_CERT`.",
		},
		{
			Name: trustedProxiesName, Flag: "trusted-proxies", Form: "networks, separated by commas: 10.0.0.0/8,192.168.1.7", Listener: true,
			Help: "The reverse proxies in front of the web server. Their `X-Forwarded-For` is believed, nobody else's. With it the web server may serve plain http on an address that is not loopback, to these networks and to the machine itself only.",
		},
		{
			Name: metricsAddrName, Flag: "metrics-addr", Default: defaultMetrics, Form: "host:port, or off", Listener: true,
			Help: "Where `/metrics` is served, for Prometheus. Never on a public address.",
		},
		{
			Name: dataDirName, Flag: "data-dir", Default: "root: `/var/lib/tributary`; else `$XDG_DATA_HOME/tributary`, or `~/.local/share/tributary`", Form: "path of a directory",
			Help: "Where the managed local PostgreSQL and caches live.",
		},
		{
			Name: databaseURLName, Form: "postgres://user:password@host:port/database", Secret: true,
			Help: "The PostgreSQL database, as the role `app`. When it is set no managed local PostgreSQL is started.",
		},
		{
			Name: migrateDatabaseName, Form: "postgres://user:password@host:port/database", Secret: true,
			Help: "The same database as a role that may create roles, schemas and extensions. Used by `migrate` and `up` only.",
		},
		{
			Name: masterKeyFileName, Flag: "master-key-file", Default: "root: `/etc/tributary/master.key`; else `$XDG_CONFIG_HOME/tributary/master.key`, or `~/.config/tributary/master.key`", Form: "path of a file outside the data directory",
			Help: "The key that seals stored grants and client secrets. It must not lie in the data directory, so that a copy of the data is useless without it. The first start of a new instance makes it.",
		},
		{
			Name: sandboxAddrName, Flag: "sandbox-addr", Default: "off", Form: "host:port, or off", Listener: true,
			Help: "Where `up` serves Sandbox Drive, a provider with invented documents to try consent with; see sandbox.md. A loopback address only; it is reached as `http://localhost:port`.",
		},
	}
}

// useSettings say what the instance does, how much of it, and how long things are kept.
func useSettings() []Def {
	return []Def{
		{
			Name: onUncertainName, Flag: "on-uncertain", Default: replayUncertain, Form: replayUncertain + " or " + reauthUncertain,
			Help: "What becomes of a grant whose provider lets a refresh token be used once, when the answer to a refresh was lost: `replay` presents the token again once nothing else can be under way, which mostly saves the grant and may be taken for theft by the provider; `reauth` asks for a new consent instead.",
		},
		{
			Name: folderRootsName, Flag: "folder-roots", Form: "absolute directories, separated by colons: /srv/docs:/home/shared",
			Help: "The directories of this machine below which folders may be connected. Unset, the pages connect none, and the command line may connect any. Set it alike for every process: where it is set, no folder elsewhere is connected or synced.",
		},
		{
			Name: runsForName, Flag: "run-retention", Default: defaultRunsFor, Form: "a time span from 1d to 3650d: 90d, 36h",
			Help: "How long after its end a run is kept, with its log and the lists of what it did. Documents, their revisions and which run stored them stay. Set it alike for every process.",
		},
		{
			Name: runsLastName, Flag: "run-retention-last", Default: defaultRunsLast, Form: "a number from 1 to 100000",
			Help: "How many runs of each connection and lane are kept however old they are.",
		},
		{
			Name: feedForName, Flag: "feed-retention", Default: defaultFeedFor, Form: "a time span from 1d to 3650d: 14d, 36h",
			Help: "How long a change stays in the outbox feed. A consumer that was away for longer begins again. Set it alike for every process.",
		},
		{
			Name: keyPerMinuteName, Flag: "key-per-minute", Default: strconv.Itoa(defaultKeyPerMinute), Form: "1 to 1000000", Listener: true,
			Help: "How many requests an API key may make a minute, unless it has a limit of its own (`keys create --per-minute`); a sixth of them at once. Beyond it, requests are answered with 429. It counts in each process by itself.",
		},
		{
			Name: keyReadersName, Flag: "key-readers-per-minute", Default: strconv.Itoa(defaultKeyReaders), Form: "1 to 1000000", Listener: true,
			Help: "How many readers a trusted key may name within a minute before the notice `key_names_many` is raised. Nothing is refused. It counts in each process by itself.",
		},
		{
			Name: readAuditName, Flag: "read-audit", Default: readsOn, Form: readsOn + " or " + readsStrict,
			Help: "How reads of documents are recorded. `on` writes them within a second, in batches: a process that is killed loses those of its last second, and while the database takes no writes, what does not fit into memory is counted as lost. `strict` writes each before it is answered, and answers 503 where that fails.",
		},
		{
			Name: readQueriesName, Flag: "read-audit-queries", Default: queriesOff, Form: queriesOff + " or " + queriesKept,
			Help: "Whether the record of a search keeps the question. Questions tell much about who asks, and may hold what an erasure has to find again: keep them only where you must.",
		},
		{
			Name: readsForName, Flag: "read-audit-retention", Default: defaultReadsFor, Form: "a time span from 1d to 3650d: 90d, 36h",
			Help: "How long the record of a read is kept. Set it alike for every process.",
		},
	}
}
