package delivery_test

import (
	"strings"
	"testing"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/delivery"
)

func TestParseItem(t *testing.T) {
	const good = `{"v":1,"delivery_id":"d","event":"pull_request","action":"opened","repository":"octo/app","number":7,"received_at":"2026-03-01T12:00:00Z"}`
	got, err := delivery.ParseItem(good)
	want := delivery.Item{V: 1, DeliveryID: "d", Event: "pull_request", Action: "opened", Repository: "octo/app", Number: 7, ReceivedAt: "2026-03-01T12:00:00Z"}
	if err != nil || got != want {
		t.Errorf("ParseItem(%s) = %+v, %v", good, got, err)
	}
	if got.String() != good {
		t.Errorf("String() = %s, want %s", got, good)
	}
	if _, err := time.Parse(time.RFC3339Nano, got.ReceivedAt); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "(nil)", "null", "[]", "x", `{}`, `{"v":2,"delivery_id":"d"}`, `{"v":1}`, `{"v":1,"delivery_id":""}`, `{"v":"1","delivery_id":"d"}`,
		good + "x", `{"v":1,"delivery_id":"` + strings.Repeat("d", 201) + `"}`, good + strings.Repeat(" ", 4<<10),
	} {
		if i, err := delivery.ParseItem(bad); err == nil {
			t.Errorf("ParseItem(%.60s) = %+v, want an error", bad, i)
		}
	}
}

// FuzzParseItem: whatever somebody puts into the list is an item, which then reads the same again, or an error.
func FuzzParseItem(f *testing.F) {
	f.Add(`{"v":1,"delivery_id":"d","event":"push","action":"","repository":"octo/app","number":0,"received_at":"2026-03-01T12:00:00Z"}`)
	f.Add(`{"v":1,"delivery_id":"\u0000\ud800","number":1e3}`)
	f.Add("\xff\x00{")
	f.Fuzz(func(t *testing.T, text string) {
		i, err := delivery.ParseItem(text)
		if err != nil {
			return
		}
		if strings.ContainsAny(i.String(), "\n\r") {
			t.Errorf("%q takes more than a line", i)
		}
		again, err := delivery.ParseItem(i.String())
		if err == nil && again != i {
			t.Errorf("%+v reads as %+v", i, again)
		}
	})
}
