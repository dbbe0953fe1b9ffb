// Package company holds the content of the sandbox: the people, the nested
// groups and the documents of Larkwater Drives, an invented maker of electric
// drives for lake ferries, with the access of each document, and the questions
// that a guided tour asks.
//
// It is data and its reader; it imports nothing of Tributary and knows nothing
// of servers. Start reading at [Load]; the documents lie under documents/, one
// file each, with a few lines of front matter.
package company
