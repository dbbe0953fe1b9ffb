package folder

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"tributary/connectors"
)

const (
	settingPath        = "path"
	settingPermissions = "permissions"
	settingReaders     = "readers"
	settingMaxFileSize = "max_file_size"

	permissionsPOSIX = "posix"
	permissionsFixed = "fixed"

	defaultMaxFileSize = connectors.MaxBody
)

type settings struct {
	path        string
	permissions string
	readers     []string
	maxFileSize int64
}

// invalid is the error for a setting that cannot be used.
func invalid(op, setting string, err error) error {
	return &connectors.Error{Op: op, Class: connectors.Invalid, Err: fmt.Errorf("%s: %w", setting, err)}
}

func parseSettings(values map[string]string) (settings, error) {
	const op = "reading folder settings"
	set := settings{permissions: permissionsPOSIX, maxFileSize: defaultMaxFileSize}

	p := values[settingPath]
	switch {
	case strings.TrimSpace(p) == "":
		return set, invalid(op, settingPath, errors.New("is required: name an absolute directory, such as /srv/docs"))
	case strings.ContainsRune(p, 0):
		return set, invalid(op, settingPath, errors.New("must not contain a NUL character"))
	case !filepath.IsAbs(p):
		return set, invalid(op, settingPath, fmt.Errorf("%q is not absolute: start it with a slash", p))
	}
	set.path = filepath.Clean(p)

	if v := values[settingPermissions]; v != "" {
		if v != permissionsPOSIX && v != permissionsFixed {
			return set, invalid(op, settingPermissions, fmt.Errorf("%q is unknown: use %s or %s", v, permissionsPOSIX, permissionsFixed))
		}
		set.permissions = v
	}

	for r := range strings.SplitSeq(values[settingReaders], ",") {
		if r = strings.TrimSpace(r); r != "" {
			set.readers = append(set.readers, r)
		}
	}
	switch fixed := set.permissions == permissionsFixed; {
	case fixed && len(set.readers) == 0:
		return set, invalid(op, settingReaders, errors.New("is required with permissions=fixed: name at least one reader, such as unix:alice"))
	case !fixed && len(set.readers) > 0:
		return set, invalid(op, settingReaders, errors.New("is used with permissions=fixed only: set permissions=fixed or leave readers empty"))
	}

	if v := strings.TrimSpace(values[settingMaxFileSize]); v != "" {
		n, err := parseSize(v)
		if err != nil {
			return set, invalid(op, settingMaxFileSize, err)
		}
		if n > connectors.MaxBody {
			return set, invalid(op, settingMaxFileSize, errors.New("must be at most "+formatSize(connectors.MaxBody)))
		}
		set.maxFileSize = n
	}
	return set, nil
}

var errSize = errors.New("must be a positive number of bytes, or a number with KB, MB or GB, such as 64MB")

// parseSize reads "1048576", "64MB" or "64 MiB"; units are powers of 1,024.
func parseSize(v string) (int64, error) {
	v = strings.ToUpper(strings.TrimSpace(v))
	v = strings.TrimSuffix(strings.TrimSuffix(v, "B"), "I")
	shift := 0
	for i, unit := range []string{"K", "M", "G"} {
		if rest, ok := strings.CutSuffix(v, unit); ok {
			v, shift = rest, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64>>shift {
		return 0, errSize
	}
	return n << shift, nil
}

// formatSize writes n for a person.
func formatSize(n int64) string {
	switch {
	case n >= 1<<30:
		return strconv.FormatFloat(float64(n)/(1<<30), 'f', 1, 64) + " GB"
	case n >= 1<<20:
		return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MB"
	case n >= 1<<10:
		return strconv.FormatFloat(float64(n)/(1<<10), 'f', 1, 64) + " KB"
	default:
		return strconv.FormatInt(n, 10) + " bytes"
	}
}
