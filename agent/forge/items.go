package forge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// maxItems bounds one answer's list: all comments on a change that are not told
// page by page. A forge that sends millions of empty ones takes no memory.
const maxItems = 5000

// items are a list in an answer.
type items[T any] []T

// UnmarshalJSON reads them one by one.
func (all *items[T]) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	switch first, err := decoder.Token(); {
	case err != nil:
		return err
	case first == nil: // null
		return nil
	case first != json.Delim('['):
		return errors.New("it is no list")
	}
	for decoder.More() {
		if len(*all) == maxItems {
			return fmt.Errorf("it lists more than %d things", maxItems)
		}
		var one T
		if err := decoder.Decode(&one); err != nil {
			return err
		}
		*all = append(*all, one)
	}
	return nil
}
