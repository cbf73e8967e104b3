package millrace_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"millrace"
)

func TestPermanent(t *testing.T) {
	cause := errors.New("no such account")
	err := fmt.Errorf("charge: %w", millrace.Permanent(cause))
	if _, ok := errors.AsType[*millrace.PermanentError](err); !ok || !errors.Is(err, cause) {
		t.Errorf("%v is not the permanent error of its cause", err)
	}
	if err.Error() != "charge: no such account" {
		t.Errorf("says %q", err)
	}
	if err := millrace.Permanent(nil); err != nil {
		t.Errorf("nothing is permanently wrong, but %v", err)
	}
}

func TestSnooze(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, 0: 0, -time.Hour: 0} {
		err := fmt.Errorf("bank: %w", millrace.Snooze(asked))
		snooze, ok := errors.AsType[*millrace.SnoozeError](err)
		if !ok || snooze.Delay != want {
			t.Errorf("%s: got %v, want a snooze of %s", asked, err, want)
		}
	}
	if got := millrace.Snooze(90 * time.Second).Error(); got != "snooze for 1m30s" {
		t.Errorf("says %q", got)
	}
}
