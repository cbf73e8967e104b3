package gateway

import "strings"

// etag is the validator of a version (RFC 9110, section 8.8.3): a strong one,
// since a version names one representation.
func etag(version string) string { return `"` + version + `"` }

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
