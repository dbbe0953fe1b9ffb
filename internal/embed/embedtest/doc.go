// Package embedtest is an embeddings endpoint of the OpenAI shape for tests: it fails as told, and keeps the accounts of which text it
// computed and delivered how often.
//
// It owns no behaviour of the product and imports the standard library only. Start reading at New.
package embedtest
