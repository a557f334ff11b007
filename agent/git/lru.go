package git

import (
	"container/list"
	"sync"
)

// lru keeps the values used last, up to a total weight. It is safe for use by
// several goroutines.
type lru[K comparable, V any] struct {
	mu     sync.Mutex
	limit  int
	weight int
	items  map[K]*list.Element
	order  list.List // newest first
}

type lruItem[K comparable, V any] struct {
	key    K
	value  V
	weight int
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{limit: limit, items: map[K]*list.Element{}}
}

func (c *lru[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.items[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(at)
	return at.Value.(*lruItem[K, V]).value, true
}

// put keeps a value, unless it weighs more than a quarter of the limit.
func (c *lru[K, V]) put(key K, value V, weight int) {
	if weight > c.limit/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[key]; ok {
		return
	}
	c.items[key] = c.order.PushFront(&lruItem[K, V]{key, value, weight})
	for c.weight += weight; c.weight > c.limit; {
		oldest := c.order.Remove(c.order.Back()).(*lruItem[K, V])
		delete(c.items, oldest.key)
		c.weight -= oldest.weight
	}
}
