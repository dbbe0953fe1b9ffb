//go:build unix && !linux

package folder

import (
	"errors"
	"time"
)

// aclReader knows no permissions: lists that the mode does not show, such as
// those of macOS, cannot be read here.
type aclReader struct{ ids idSpace }

func newACLReader(func() time.Time) *aclReader { return &aclReader{} }

// canEvaluate returns why POSIX permissions cannot be read on this machine.
func canEvaluate() error {
	return errors.New("posix is evaluated on Linux only: set permissions=fixed and name the readers")
}

func (*aclReader) require(rule, int, uint8) rule { return rule{unknown: true} }

func (*aclReader) listAt(int, string, inode) (acl, error) { return acl{}, canEvaluate() }
