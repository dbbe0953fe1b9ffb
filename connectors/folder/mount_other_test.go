//go:build unix && !linux

package folder

import "errors"

func bindMount(string, string) error { return errors.ErrUnsupported }

func unmount(string) error { return nil }
