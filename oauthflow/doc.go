// Package oauthflow owns what is particular to OAuth: providers as data, client registrations, consents, and the grants
// that come of them.
//
// A provider (an authorization server) is a Profile: a document with strict fields that says how the server is spoken
// to, which refresh tokens survive what, and what its errors mean. Some ship with the program (Shipped); owners add
// their own (ParseProfile). Nothing else in the program knows a provider by name.
//
// ParseToken reads the answer of a token endpoint into a Token, or into a TokenError with the class that the engine acts on.
//
// TokenClient sends every request to an authorization server, once. Registrations makes and checks clients, Flows takes
// a consent from its start to the stored grant, Grants shows and ends grants; what they store is declared here
// (FlowStore, RegistrationStore, GrantStore) and sealed here.
//
// The package must not import store, jobs, web or a command.
//
// Start reading at Profile (profile.go), then ParseToken (tokenresponse.go), TokenClient and Flows.Callback.
package oauthflow
