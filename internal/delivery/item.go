package delivery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/brandonlacoste9-tech/github-pr-manager/internal/pull"
)

// itemVersion is the v of every item.
const itemVersion = 1

// An Item is one entry of the Redis list: it says that a delivery waits, in one line of JSON that a person can read. The
// delivery itself is in the database. Only DeliveryID says which; the rest is for the reader.
type Item struct {
	V          int    `json:"v"`
	DeliveryID string `json:"delivery_id"`
	Event      string `json:"event"`
	Action     string `json:"action"`
	Repository string `json:"repository"` // owner/name; "" when the event is of none
	Number     int    `json:"number"`     // of the pull request; 0 when it names none or several
	ReceivedAt string `json:"received_at"`
}

// itemOf is the item of a delivery.
func itemOf(d pull.Delivery) Item {
	return Item{
		V: itemVersion, DeliveryID: d.ID, Event: d.Hint.Event, Action: d.Hint.Action, Repository: d.Hint.Repo.FullName(),
		Number: d.Hint.Number(), ReceivedAt: d.ReceivedAt.UTC().Format(time.RFC3339Nano),
	}
}

// String is the item as it stands in the list.
func (i Item) String() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(i) // strings and numbers: it can't fail
	return strings.TrimSuffix(b.String(), "\n")
}

// maxItem is how long an item may be: an id has at most 200 bytes, and names are GitHub's.
const maxItem = 4 << 10

// ParseItem reads an item. What is not one is an error that says why, without repeating it.
func ParseItem(text string) (Item, error) {
	if len(text) > maxItem {
		return Item{}, fmt.Errorf("it is longer than %d bytes", maxItem)
	}
	var i Item
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		return Item{}, errors.New("it is not the JSON of an item")
	}
	switch {
	case i.V != itemVersion:
		return Item{}, fmt.Errorf("its v is %d, want %d", i.V, itemVersion)
	case i.DeliveryID == "" || len(i.DeliveryID) > 200:
		return Item{}, errors.New("it names no delivery_id")
	}
	return i, nil
}
