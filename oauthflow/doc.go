// Package oauthflow owns what is particular to OAuth: providers as data, and the reading of what a token endpoint answers.
//
// A provider (an authorization server) is a Profile: a document with strict fields that says how the server is spoken
// to, which refresh tokens survive what, and what its errors mean. Some ship with the program (Shipped); owners add
// their own (ParseProfile). Nothing else in the program knows a provider by name.
//
// ParseToken reads the answer of a token endpoint into a Token, or into a TokenError with the class that the engine acts on.
//
// The package must not import store, jobs, web or a command; it sends nothing and stores nothing by itself.
//
// Start reading at Profile (profile.go), then ParseToken (tokenresponse.go).
package oauthflow
