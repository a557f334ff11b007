package main

import (
	"io"
	"os"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// listFormat is the value of -o of a command that lists: beside what format takes
// it is wide, which shortens nothing.
type listFormat struct{ format }

func (f *listFormat) Type() string { return "table|wide|json" }
func (f *listFormat) wide() bool   { return f.format == "wide" }
func (f *listFormat) Set(s string) error {
	if s == "wide" {
		f.format = "wide"
		return nil
	}
	if f.format.Set(s) != nil {
		return inputf("must be table, wide or json")
	}
	return nil
}

// add makes it the flag of a command.
func (f *listFormat) add(cmd *cobra.Command) {
	f.format = "table"
	cmd.Flags().VarP(f, "output", "o", "output format; wide shortens nothing")
}

// printList writes a JSON line for each item, or a table with a row for each. The last
// column of a table is why: on a terminal it ends where the line does.
func printList[T any](w io.Writer, f listFormat, heading []string, items []T, row func(T) []string) error {
	rows := [][]string{heading}
	for _, item := range items {
		if f.json() {
			if err := printJSON(w, item); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, row(item))
	}
	if f.json() {
		return nil
	}
	if !f.wide() {
		fit(rows, lineLength(w))
	}
	return table(w, rows...)
}

// leastWhy is what the last column has in any case, in characters.
const leastWhy = 40

// fit shortens the last cell of rows to what a line of so many characters has room
// for; 0 is any number.
func fit(rows [][]string, line int) {
	if line == 0 {
		return
	}
	last := len(rows[0]) - 1
	for column := range last {
		widest := 0
		for _, row := range rows {
			widest = max(widest, utf8.RuneCountInString(oneLine(row[column])))
		}
		line -= widest + len(between)
	}
	for _, row := range rows {
		row[last] = cut(row[last], max(line, leastWhy))
	}
}

// between stands between two columns.
const between = "  "

// lineLength is how many characters a line of a terminal has; 0 where w is none.
func lineLength(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	length, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return length
}
