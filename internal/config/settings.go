package config

import (
	"strconv"
	"strings"
)

// Setting is the value of a key and where it came from.
type Setting struct {
	Key    Key
	Value  string // a secret shows as mask
	Origin string // file:line, environment, command line, or default
}

const mask = "******"

// Settings lists the values of the server's keys.
func (c *Config) Settings() []Setting { return settings(ServerScope, c.server.deployerValue) }

// InstanceSettings lists the values of an instance's keys. The error is that of
// its file when it cannot be read; values that are wrong are shown as written.
func (c *Config) InstanceSettings(destination string) ([]Setting, error) {
	own, _, err := c.own(destination)
	if err != nil {
		return nil, err
	}
	l, err := c.instanceLayers(destination, own)
	if err != nil {
		return nil, err
	}
	return settings(InstanceScope, l.instanceValue), nil
}

func settings(scope Scope, get func(string) (value, error)) []Setting {
	var out []Setting
	for _, k := range keys {
		if k.Scope != scope || families[keyByName[k.Name]] != nil {
			continue
		}
		v, err := get(k.Name)
		s := Setting{Key: k, Value: v.text, Origin: "default"}
		if err != nil {
			s.Value = "(" + err.Error() + ")"
		} else if v.secret && strings.TrimSpace(v.text) != "" {
			s.Value = mask
		}
		if v.file != "" {
			s.Origin = v.file
			if v.line > 0 {
				s.Origin += ":" + strconv.Itoa(v.line)
			}
		}
		out = append(out, s)
	}
	return out
}
