// Package player plays the browser of a newcomer: it makes the first account of
// an instance, registers a client at Sandbox Drive, enters it as a registration,
// and consents, over HTTP and through the pages that everybody uses.
//
// The servers do not know it: what it does, a person can do with a browser, and
// nothing else. It imports nothing of Tributary but internal/secret.
//
// Start reading at [Player]; browser.go is the browser, page.go what it reads of
// a page.
package player
