package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// layers finds a key's value in the sources of a configuration, the strongest
// first: command line, environment, files, default.
//
// viper keeps the order. Its keys are written in hex: it folds case, which
// Canal's keys tell apart, and it would read dots as a path, so that a key that
// is the beginning of another would lose its value.
type layers struct{ v *viper.Viper }

// Origins without a file name.
const (
	originCommandLine = "command line"
	originEnvironment = "environment"
)

func vkey(key string) string { return hex.EncodeToString([]byte(key)) }

func newViper() *viper.Viper { return viper.NewWithOptions(viper.KeyDelimiter("\x00")) }

// deployerLayers is Canal's first reader: whatever is set wins, even when empty.
func deployerLayers(defines, environ map[string]string, file map[string]property) (*layers, error) {
	l := &layers{v: newViper()}
	if err := l.merge(file); err != nil {
		return nil, err
	}
	if err := l.merge(originated(environ, originEnvironment)); err != nil {
		return nil, err
	}
	for k, p := range originated(defines, originCommandLine) {
		l.v.Set(vkey(k), p)
	}
	l.setDefaults()
	return l, nil
}

// instanceLayers is Canal's second reader, Spring's placeholders: blank values
// never win over a weaker source. Between the two files they do, because Java
// merges them before it looks; and a blank definition on the command line still
// hides the environment.
func instanceLayers(defines, environ map[string]string, main, own map[string]property) (*layers, error) {
	l := &layers{v: newViper()}
	files := maps.Clone(main)
	if files == nil {
		files = map[string]property{}
	}
	maps.Copy(files, own)
	if err := l.merge(withoutBlanks(files)); err != nil {
		return nil, err
	}
	env := originated(environ, originEnvironment)
	for k := range defines {
		delete(env, k)
	}
	if err := l.merge(withoutBlanks(env)); err != nil {
		return nil, err
	}
	for k, p := range withoutBlanks(originated(defines, originCommandLine)) {
		l.v.Set(vkey(k), p)
	}
	l.setDefaults()
	return l, nil
}

func originated(texts map[string]string, origin string) map[string]property {
	m := make(map[string]property, len(texts))
	for k, v := range texts {
		m[k] = property{text: v, file: origin}
	}
	return m
}

func withoutBlanks(m map[string]property) map[string]property {
	maps.DeleteFunc(m, func(_ string, p property) bool { return strings.TrimSpace(p.text) == "" })
	return m
}

func (l *layers) merge(m map[string]property) error {
	encoded := make(map[string]any, len(m))
	for k, p := range m {
		encoded[vkey(k)] = p
	}
	if err := l.v.MergeConfigMap(encoded); err != nil {
		return fmt.Errorf("merge settings: %w", err)
	}
	return nil
}

func (l *layers) setDefaults() {
	for _, k := range keys {
		if k.Default != "" {
			l.v.SetDefault(vkey(k.Name), property{text: k.Default})
		}
	}
}

// find is the value as written. The default comes back with an empty file; set
// is false when there is not even one.
func (l *layers) find(key string) (p property, set bool) {
	p, set = l.v.Get(vkey(key)).(property)
	return p, set
}

// Bounds of one expansion: references inside references, steps, and bytes.
const (
	maxExpandDepth = 32
	maxExpandSteps = 10_000
	maxExpandBytes = 1 << 20
)

// expansion resolves ${key} and ${key:default} in one value.
type expansion struct {
	l      *layers
	path   []string // keys being resolved
	steps  int
	secret bool // a key was used whose value must not be shown
}

// expand resolves the references in the value of a key. A reference sees what
// is set, not the defaults of this program; one that finds nothing is empty.
func (l *layers) expand(key, text string) (string, bool, error) {
	e := expansion{l: l, path: []string{key}, secret: isSecret(key)}
	out, err := e.expand(text)
	return strings.TrimSpace(out), e.secret, err
}

func (e *expansion) expand(text string) (string, error) {
	if e.steps++; e.steps > maxExpandSteps || len(e.path) > maxExpandDepth {
		return "", errors.New("too many ${…} references")
	}
	var b strings.Builder
	for {
		start := strings.Index(text, "${")
		end := -1
		if start >= 0 {
			end = closing(text, start+2)
		}
		if end < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:start])
		v, err := e.reference(text[start+2 : end])
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		text = text[end+1:]
		if b.Len()+len(text) > maxExpandBytes {
			return "", fmt.Errorf("more than %d bytes after ${…} is resolved", maxExpandBytes)
		}
	}
	if b.Len() > maxExpandBytes {
		return "", fmt.Errorf("more than %d bytes after ${…} is resolved", maxExpandBytes)
	}
	return b.String(), nil
}

// closing is the index of the brace that ends a reference, or -1.
func closing(text string, from int) int {
	depth := 0
	for i := from; i < len(text); i++ {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

func (e *expansion) reference(inner string) (string, error) {
	e.path = append(e.path, "")
	inner, err := e.expand(inner)
	e.path = e.path[:len(e.path)-1]
	if err != nil {
		return "", err
	}
	key, def, _ := strings.Cut(inner, ":")
	key, def = strings.TrimSpace(key), strings.TrimSpace(def)
	for i, k := range e.path {
		if k == key && key != "" {
			circle := slices.DeleteFunc(append(slices.Clone(e.path[i:]), key), func(k string) bool { return k == "" })
			return "", fmt.Errorf("circular reference %s", strings.Join(circle, " → "))
		}
	}
	p, set := e.l.find(key)
	if !set || p.file == "" || strings.TrimSpace(p.text) == "" {
		return def, nil
	}
	e.secret = e.secret || isSecret(key)
	e.path = append(e.path, key)
	v, err := e.expand(p.text)
	e.path = e.path[:len(e.path)-1]
	return strings.TrimSpace(v), err
}
