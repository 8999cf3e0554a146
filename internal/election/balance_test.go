package election_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/canald/canald/internal/election"
)

func TestBalance(t *testing.T) {
	all := []string{"a", "b", "c"}
	share := func(name, owner string, weight int, prefer ...string) election.Share {
		return election.Share{Destination: name, Owner: owner, Weight: weight, Prefer: prefer, Candidates: all}
	}
	for _, c := range []struct {
		name   string
		shares []election.Share
		want   []election.Step
	}{
		{name: "nothing"},
		{name: "even", shares: []election.Share{share("1", "a", 1), share("2", "b", 1), share("3", "c", 1)}},
		{name: "one more is even enough", shares: []election.Share{share("1", "a", 1), share("2", "a", 1), share("3", "b", 1), share("4", "c", 1)}},
		{
			name:   "all on one",
			shares: []election.Share{share("1", "a", 1), share("2", "a", 1), share("3", "a", 1)},
			want:   []election.Step{{"1", "a", "b"}, {"2", "a", "c"}},
		},
		{
			name:   "weights",
			shares: []election.Share{share("1", "a", 3), share("2", "a", 1), share("3", "a", 1), share("4", "b", 2), share("5", "c", 3)},
			want:   []election.Step{{"2", "a", "b"}},
		},
		{
			name:   "pins",
			shares: []election.Share{share("1", "a", 1, "x", "c", "b"), share("2", "b", 1, "b"), share("3", "b", 1, "b"), share("4", "c", 1)},
			want:   []election.Step{{"1", "a", "c"}, {"4", "c", "a"}},
		},
		{name: "pinned to who is not there", shares: []election.Share{share("1", "a", 1, "x"), share("2", "a", 1, "x")}},
		{name: "fixed", shares: []election.Share{{Destination: "1", Owner: "a", Weight: 1}, {Destination: "2", Owner: "a", Weight: 1}, {Destination: "3", Owner: "b", Weight: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			slices.Reverse(c.shares) // their order says nothing
			if got := election.Balance(c.shares); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, not %v", got, c.want)
			}
		})
	}
}

// Whatever the loads, the difference between two servers is at most the smallest
// weight on the fuller one, and a second time nothing is moved.
func TestBalanceAtRandom(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	servers := []string{"a", "b", "c", "d"}
	for range 300 {
		var shares []election.Share
		for n := range rng.IntN(60) {
			shares = append(shares, election.Share{
				Destination: fmt.Sprintf("d%02d", n), Owner: servers[rng.IntN(4)], Weight: 1 + rng.IntN(9), Candidates: servers,
			})
		}
		steps := election.Balance(shares)
		for _, s := range steps {
			n := slices.IndexFunc(shares, func(v election.Share) bool { return v.Destination == s.Destination })
			if shares[n].Owner != s.From || s.From == s.To {
				t.Fatalf("%+v for %+v", s, shares[n])
			}
			shares[n].Owner = s.To
		}
		if again := election.Balance(shares); len(again) > 0 {
			t.Fatalf("moved again: %v", again)
		}
		load, least := map[string]int{}, map[string]int{}
		for _, s := range shares {
			load[s.Owner] += s.Weight
			if least[s.Owner] == 0 || s.Weight < least[s.Owner] {
				least[s.Owner] = s.Weight
			}
		}
		for _, a := range servers {
			for _, b := range servers {
				if load[a]-load[b] > least[a] {
					t.Fatalf("loads %v, least %v", load, least)
				}
			}
		}
	}
}
