package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ownName is the file that makes a folder a destination.
const ownName = "instance.properties"

// Found is the configuration file of a destination as a scan sees it.
type Found struct {
	Path    string
	ModTime time.Time
	Size    int64
	Err     error // the file is there and cannot be looked at
}

// Read returns the content of the file, which is bounded.
func (f Found) Read() ([]byte, error) {
	data, err := readFile(f.Path)
	if err == nil && len(data) > maxFileBytes {
		err = fmt.Errorf("%s: more than %d bytes", f.Path, maxFileBytes)
	}
	return data, err
}

// Scan lists the destinations whose folders lie in canal.conf.dir: each folder
// with an instance.properties in any case, links followed, but for the one named
// spring. A root that does not exist holds none, unless it is only missing now:
// the error is then about the root, and says nothing of the destinations.
func (c *Config) Scan() (map[string]Found, error) {
	folders, err := os.ReadDir(c.confDir)
	if err != nil {
		return nil, fmt.Errorf("folder of the instances: %w", err)
	}
	out := map[string]Found{}
	for _, folder := range folders {
		name := folder.Name()
		dir := filepath.Join(c.confDir, name)
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || !validDestination(name) {
			continue
		}
		if f, ok := findOwn(dir); ok {
			out[name] = f
			if len(out) == maxDestinations {
				break
			}
		}
	}
	return out, nil
}

// Names are the destinations that the server would run: those that the main file
// lists and then those that a scan found, each once.
func (c *Config) Names(found map[string]Found) []string {
	names := slices.Clone(c.Destinations)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !slices.Contains(c.Destinations, name) {
			names = append(names, name)
		}
	}
	return names
}

func findOwn(dir string) (Found, bool) {
	path := filepath.Join(dir, ownName)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		names, readErr := os.ReadDir(dir)
		if readErr != nil {
			return Found{Path: path, Err: readErr}, true
		}
		for _, n := range names {
			if strings.EqualFold(n.Name(), ownName) {
				// Canal finds it in any case but loads only the exact name.
				return Found{Path: filepath.Join(dir, n.Name()), Err: fmt.Errorf("%s is there, but the name must be %s", n.Name(), ownName)}, true
			}
		}
		return Found{}, false
	}
	switch {
	case err != nil:
		return Found{Path: path, Err: err}, true
	case !info.Mode().IsRegular():
		return Found{Path: path, Err: errors.New("it is no file")}, true
	}
	return Found{Path: path, ModTime: info.ModTime(), Size: info.Size()}, true
}
