package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/filter"
)

// configCommand is canald config keys, print and check.
func configCommand(options func() (config.Options, error)) *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Show and check the configuration", Args: cobra.NoArgs}
	var form string
	keys := &cobra.Command{
		Use:   "keys [WORD]",
		Short: "List all keys, or those whose name or text has a word in it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printKeys(cmd.OutOrStdout(), form, strings.ToLower(strings.Join(args, "")))
		},
	}
	keys.Flags().StringVar(&form, "format", "text", "text, json or markdown")
	var set bool
	show := &cobra.Command{
		Use:   "print [DESTINATION]",
		Short: "Show each key's value and where it came from; secrets are masked",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load(options)
			if err != nil {
				return err
			}
			settings := cfg.Settings()
			if len(args) > 0 {
				if settings, err = cfg.InstanceSettings(args[0]); err != nil {
					return fmt.Errorf("destination %q: %w", args[0], err)
				}
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			for _, s := range settings {
				if set && s.Origin == "default" {
					continue
				}
				note := ""
				if s.Key.Inert != "" {
					note = "without effect: " + s.Key.Inert
				}
				_, _ = fmt.Fprintf(w, "%s\t%q\t%s\t%s\n", s.Key.Name, s.Value, s.Origin, note)
			}
			return w.Flush()
		},
	}
	show.Flags().BoolVar(&set, "set", false, "leave out keys that have their default")
	check := &cobra.Command{
		Use:   "check",
		Short: "Read all files and report every problem; exit code 1 when there is one",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return checkFiles(cmd.OutOrStdout(), options) },
	}
	c.AddCommand(keys, show, check, filterCommand())
	return c
}

// filterCommand is canald config filter test.
func filterCommand() *cobra.Command {
	c := &cobra.Command{Use: "filter", Short: "Try patterns of tables", Args: cobra.NoArgs}
	c.AddCommand(&cobra.Command{
		Use:     "test PATTERNS SCHEMA.TABLE…",
		Short:   "Tell which names a list of patterns matches; exit code 1 when it does not compile",
		Example: "  canald config filter test 'shop\\..*,log\\.(a|b)' shop.order log.c",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := filter.New(args[0])
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			for _, name := range args[1:] {
				_, _ = fmt.Fprintf(w, "%s\t%s\n", name, map[bool]string{true: "matches", false: "does not match"}[f.Match(name)])
			}
			for _, item := range filter.Split(args[0]) {
				if item != strings.TrimSpace(item) {
					_, _ = fmt.Fprintf(w, "%q\thas blanks around it, which are part of the pattern\n", item)
				}
			}
			return w.Flush()
		},
	})
	return c
}

func load(options func() (config.Options, error)) (*config.Config, error) {
	o, err := options()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(o)
	if err != nil {
		return nil, wrongConfiguration(err)
	}
	return cfg, nil
}

func wrongConfiguration(err error) error { return fmt.Errorf("the configuration is wrong:\n%w", err) }

// checkFiles reads what the server would read.
func checkFiles(w io.Writer, options func() (config.Options, error)) error {
	cfg, err := load(options)
	if err != nil {
		return err
	}
	tell := func(what string, list []string) {
		for _, l := range list {
			_, _ = fmt.Fprintf(w, "%s: %s\n", what, l)
		}
	}
	tell("warning", cfg.Warnings)
	tell("unknown key", cfg.Unknown)
	tell("without effect", cfg.Inert)
	var found map[string]config.Found
	if cfg.ScanEvery > 0 {
		if found, err = cfg.Scan(); err != nil {
			return err
		}
	}
	names := cfg.Names(found)
	var errs []error
	for _, name := range names {
		in, err := cfg.Instance(name)
		if errors.Is(err, fs.ErrNotExist) {
			tell("warning", []string{fmt.Sprintf("destination %q: %v", name, err)})
			continue
		}
		tell("warning", in.Warnings)
		tell("unknown key", in.Unknown)
		tell("without effect", in.Inert)
		if err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return wrongConfiguration(errors.Join(errs...))
	}
	_, err = fmt.Fprintf(w, "no problem in the main file and %d instances\n", len(names))
	return err
}

// keyRow is a row of the table as JSON shows it.
type keyRow struct {
	Name    string `json:"name"`
	Scope   string `json:"scope"`
	Kind    string `json:"kind"`
	Default string `json:"default"`
	Unit    string `json:"unit,omitempty"`
	Live    bool   `json:"live"`
	Secret  bool   `json:"secret"`
	Doc     string `json:"doc"`
	Inert   string `json:"without_effect,omitempty"`
}

func printKeys(w io.Writer, form, word string) error {
	var list []config.Key
	for _, k := range config.Keys() {
		if word == "" || strings.Contains(strings.ToLower(k.Name+" "+k.Doc), word) {
			list = append(list, k)
		}
	}
	switch form {
	case "text":
		for _, k := range list {
			_, _ = fmt.Fprintf(w, "%s (%s%s, default %q)\n    %s\n", k.Name, k.Kind, unit(k), k.Default, k.Doc)
			if k.Inert != "" {
				_, _ = fmt.Fprintf(w, "    without effect: %s\n", k.Inert)
			}
		}
		return nil
	case "json":
		rows := make([]keyRow, len(list))
		for i, k := range list {
			rows[i] = keyRow{k.Name, string(k.Scope), string(k.Kind), k.Default, k.Unit, k.Live(), k.Secret(), k.Doc, k.Inert}
		}
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	case "markdown":
		return printMarkdown(w, list)
	}
	return fmt.Errorf("--format %q: text, json or markdown is expected", form)
}

func unit(k config.Key) string {
	if k.Unit == "" {
		return ""
	}
	return " in " + k.Unit
}

const configIntro = `# Keys

Generated by ` + "`canald config keys --format markdown`" + `. Files are Java properties. Keys of the server stand in ` + "`conf/canal.properties`" + ` and hold
until the server ends; their order of precedence is ` + "`-D key=value`" + `, an environment variable of exactly the key's name, the file, the default, and the first
that is set wins even when it is empty. Keys of an instance stand in ` + "`conf/<destination>/instance.properties`" + ` or, for all instances, in the main file; blank values
never win, ` + "`${key:default}`" + ` is resolved, and a change of the instance's file starts it anew (with ` + "`canal.auto.scan`" + `).
` + "`canald config print [DESTINATION]`" + ` shows each value with its origin; ` + "`canald config check`" + ` all problems.
`

func printMarkdown(w io.Writer, list []config.Key) error {
	out := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	out("%s", configIntro)
	cell := strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;")
	for _, part := range []struct {
		title string
		scope config.Scope
		inert bool
	}{
		{"Keys of the server", config.ServerScope, false},
		{"Keys of an instance", config.InstanceScope, false},
		{"Known from Canal, without effect: server", config.ServerScope, true},
		{"Known from Canal, without effect: instance", config.InstanceScope, true},
	} {
		third := "meaning"
		if part.inert {
			third = "why"
		}
		out("\n## %s\n\n| key | kind | default | %s |\n|---|---|---|---|\n", part.title, third)
		for _, k := range list {
			if k.Scope != part.scope || (k.Inert != "") != part.inert {
				continue
			}
			text := k.Doc
			if part.inert {
				text = k.Doc + ": " + k.Inert
			}
			def := k.Default
			if def != "" {
				def = "`" + strings.ReplaceAll(def, "|", `\|`) + "`"
			}
			out("| `%s` | %s%s | %s | %s |\n", k.Name, k.Kind, unit(k), def, cell.Replace(text))
		}
	}
	return nil
}
