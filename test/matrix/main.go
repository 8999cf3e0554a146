// Command matrix reads the output of `go test -json` whose subtests are named
// after versions of the source, and prints a table of tests and versions. Its
// argument is the comma list of versions that must be there. It fails when
// anything failed or was skipped, or when a version has no result.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

type event struct {
	Action string
	Test   string
	Output string
}

func main() {
	table := map[string]map[string]string{} // test → version → result
	var versions, tests []string
	failed, skipped, passed := 0, 0, 0
	output := map[string][]string{}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Println(in.Text()) // a compiler's message
			failed++
			continue
		}
		if e.Action == "build-output" {
			fmt.Print(e.Output)
			continue
		}
		if e.Action == "output" {
			output[e.Test] = append(output[e.Test], e.Output)
			continue
		}
		if e.Action != "pass" && e.Action != "fail" && e.Action != "skip" {
			continue
		}
		switch {
		case e.Action == "fail":
			failed++
			fmt.Print(strings.Join(output[e.Test], ""))
		case e.Action == "skip":
			skipped++
		case e.Test != "":
			passed++
		}
		test, version := split(e.Test)
		if version == "" {
			continue
		}
		if table[test] == nil {
			table[test] = map[string]string{}
			tests = append(tests, test)
		}
		if !slices.Contains(versions, version) {
			versions = append(versions, version)
		}
		if table[test][version] != "fail" {
			table[test][version] = e.Action
		}
		delete(output, e.Test)
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		os.Exit(1)
	}
	show(table, tests, versions)
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	for v := range strings.SplitSeq(strings.Join(os.Args[1:], ","), ",") {
		if v != "" && !slices.Contains(versions, v) {
			fmt.Println("no test ran on", v)
			failed++
		}
	}
	if failed > 0 || skipped > 0 || passed == 0 {
		os.Exit(1)
	}
}

// split finds the part of a test's name that is a version.
func split(name string) (test, version string) {
	var rest []string
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, "mysql-") || strings.HasPrefix(part, "mariadb-") {
			version = part
			break
		}
		rest = append(rest, part)
	}
	return strings.Join(rest, "/"), version
}

func show(table map[string]map[string]string, tests, versions []string) {
	slices.Sort(versions)
	slices.Sort(tests)
	width := 0
	for _, t := range tests {
		width = max(width, len(t))
	}
	fmt.Printf("%-*s", width, "")
	for _, v := range versions {
		fmt.Printf("  %s", v)
	}
	fmt.Println()
	for _, t := range tests {
		fmt.Printf("%-*s", width, t)
		for _, v := range versions {
			result := table[t][v]
			if result == "" {
				result = "-"
			}
			fmt.Printf("  %-*s", len(v), result)
		}
		fmt.Println()
	}
}
