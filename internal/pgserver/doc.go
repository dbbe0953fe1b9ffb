// Package pgserver runs the managed local PostgreSQL: it finds an installed
// server that has pgvector, makes a cluster under the data directory, runs it as
// a child that ends with this process, and tells other processes of the same
// account where it listens.
//
// It owns DATA_DIR/postgres and nothing else. It creates no database, role or
// extension: that is the migrations' work. It imports the standard library only.
//
// Start reading at [Start] in server.go; discover.go chooses the installation,
// layout.go names the files, account.go says who runs the server.
package pgserver
