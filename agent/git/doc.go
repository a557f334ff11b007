// Package git reads Git repositories: their refs, histories and trees.
//
// Input is a [Remote] or a directory. A [Mirror] keeps what was fetched from a
// remote in a bare repository of its own, whose content is worth nothing: it
// is made anew whenever it is damaged. A [Repository] is a read-only view of
// what lies on disk; its [Objects] are what planning reads. It never writes to
// a repository that is not its own, checks nothing out, runs no hook and no
// git command, and does not decide what a commit means.
//
// go-git speaks with remotes and takes their packs apart. Objects are read by
// a small reader of this package instead of go-git's storage, which loads each
// pack's index whole at every change (100 ms for 230,000 objects), reads a
// tree in three times what git needs, and is not safe for goroutines.
package git
