// Package recorded replays real answers of a source through a connector's own
// decoding.
//
// It reads the records that TEST_FIXTURES names, one folder a source, finds
// the operation that each answers, and judges what the connector made of it. It
// knows no source. It is imported by tests only.
//
// Start reading at [Replay].
package recorded
