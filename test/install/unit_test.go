package install

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The library that rolls logs calls chown, also where nothing changes. A unit
// that forbids the call has its service killed at the first midnight.
func TestUnitAllowsRolling(t *testing.T) {
	t.Parallel()
	allowed := false
	for _, m := range regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.*)$`).FindAllStringSubmatch(read(t, root, "deploy/systemd/canald.service"), -1) {
		for set := range strings.FieldsSeq(m[2]) { // later lines win over earlier ones
			if slices.Contains([]string{"@system-service", "@privileged", "@chown"}, set) {
				allowed = m[1] == ""
			}
		}
	}
	if !allowed {
		t.Error("chown is forbidden")
	}
}
