package election

import (
	"slices"
	"strings"
)

// Share is a destination that is run by somebody, as far as balancing is concerned.
type Share struct {
	Destination string
	Owner       string
	Weight      int      // how much of a server it takes, against others
	Prefer      []string // servers that are to run it, the best first; empty leaves it to the balance
	Candidates  []string // who may run it besides the owner; empty fixes it where it is
}

// Step moves a destination.
type Step struct{ Destination, From, To string }

// Balance says which destinations to move so that the servers are loaded evenly
// by weight. One that prefers servers goes to the first of them that may run it.
// The rest is moved as little as it takes: each step brings two servers closer
// together, and there is none when no step does. The same input gives the same
// steps.
func Balance(shares []Share) []Step {
	shares = slices.Clone(shares)
	slices.SortFunc(shares, func(a, b Share) int { return strings.Compare(a.Destination, b.Destination) })
	at := make([]string, len(shares)) // who is to run each
	load := map[string]int{}
	for n, s := range shares {
		at[n] = s.Owner
		for _, p := range s.Prefer {
			if p == s.Owner || slices.Contains(s.Candidates, p) {
				at[n] = p
				break
			}
		}
		load[at[n]] += s.Weight
	}
	for {
		// The move that gains most: the sum of the squares of the loads falls by
		// 2w(gap - w).
		best, to, gain := -1, "", 0
		for n, s := range shares {
			if len(s.Prefer) > 0 {
				continue
			}
			for _, c := range candidates(s) {
				if g := s.Weight * (load[at[n]] - load[c] - s.Weight); c != at[n] && g > gain {
					best, to, gain = n, c, g
				}
			}
		}
		if best < 0 {
			break
		}
		load[at[best]] -= shares[best].Weight
		load[to] += shares[best].Weight
		at[best] = to
	}
	var steps []Step
	for n, s := range shares {
		if at[n] != s.Owner {
			steps = append(steps, Step{s.Destination, s.Owner, at[n]})
		}
	}
	return steps
}

// candidates are all that may run it, in order.
func candidates(s Share) []string {
	if len(s.Candidates) == 0 {
		return nil
	}
	all := append([]string{s.Owner}, s.Candidates...)
	slices.Sort(all)
	return slices.Compact(all)
}
