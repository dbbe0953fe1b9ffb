// Package store keeps documents, chunks, permissions, lineage, cursors and
// runs in PostgreSQL. It is the only package that writes SQL; each statement
// stands beside the function that uses it, one file per noun.
//
// An exported method opens its own transaction. Where work of another package
// has to commit with it, the method takes a callback with the pgx.Tx; jobs
// inserts its River jobs there.
//
// A transaction that locks rows of several of these tables takes them in one
// order: client_registration, credential, schedule, sync_run, connection, and
// within a table by key. Whoever moves a schedule after it has written a run or
// a connection locks it first. What is passed over with SKIP LOCKED is not
// waited for, and may come in any order.
//
// It imports connectors for the words of the contract and nothing of jobs, web
// or cmd. Start reading at [Store], [Migrate], [Store.WriteBatch] and
// [Store.Search].
package store
