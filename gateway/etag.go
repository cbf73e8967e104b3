package gateway

import (
	"fmt"
	"strings"

	"millrace"
)

// etag is the validator of a version (RFC 9110, section 8.8.3): a strong one,
// since a version names one representation.
func etag(version string) string { return `"` + version + `"` }

// versionIn is the version that an If-Match names, "*" for any that there is, and empty
// if it asks for none.
func versionIn(ifMatch string) (string, error) {
	tag := strings.TrimSpace(ifMatch)
	if tag == "" || tag == "*" {
		return tag, nil
	}
	version := strings.Trim(strings.TrimPrefix(tag, "W/"), `"`)
	switch {
	case strings.ContainsAny(version, `",`):
	case tag == etag(version):
		return version, nil
	case tag == "W/"+etag(version):
		return tag, nil // by strong comparison it fits nothing
	}
	return "", fmt.Errorf("%w: If-Match must be *, or one ETag in its quotes", millrace.ErrInvalid)
}

// matchesETag reports whether an If-None-Match names tag, by weak comparison.
func matchesETag(ifNoneMatch, tag string) bool {
	for candidate := range strings.SplitSeq(ifNoneMatch, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
			return true
		}
	}
	return false
}
