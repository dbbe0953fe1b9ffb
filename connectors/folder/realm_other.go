//go:build unix && !linux && !darwin

package folder

// machineID is unknown here.
func machineID() (string, bool) { return "", false }
