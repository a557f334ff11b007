package registry

import (
	"fmt"
	"testing"
)

// On a loopback registry on disk.
func BenchmarkClient(b *testing.B) {
	host := startEmbedded(b)
	d := push(b, host+"/lab/a:main", ociImage(b, 10))
	c := client(b, Options{})
	run := func(name string, do func(i int) error) {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				if err := do(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("digest of tag", func(int) error {
		_, _, err := c.Digest(b.Context(), host+"/lab/a", "main")
		return err
	})
	run("digest of digest", func(int) error {
		_, _, err := c.Digest(b.Context(), host+"/lab/a", d.String())
		return err
	})
	run("inspect", func(int) error {
		_, _, err := c.Inspect(b.Context(), host+"/lab/a", d)
		return err
	})
	run("move tag", func(i int) error {
		return c.Tag(b.Context(), host+"/lab/a", d, host+"/lab/a", fmt.Sprintf("t%d", i%10))
	})
	run("tag once", func(i int) error {
		return c.TagOnce(b.Context(), host+"/lab/a", d, host+"/lab/a", "v1")
	})
}
