package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/canald/canald/internal/config"
)

func rootCommand() *cobra.Command {
	var home, conf string
	var defines []string
	root := &cobra.Command{
		Use:           "canald",
		Short:         "Serve the changes of MySQL and MariaDB to Canal clients",
		Args:          noArguments,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	options := func() (config.Options, error) {
		d, err := parseDefines(defines)
		if err != nil {
			return config.Options{}, err
		}
		for k, v := range javaDefines(os.Getenv("JAVA_OPTS")) {
			if _, ok := d[k]; !ok {
				d[k] = v
			}
		}
		if home == "" {
			home = defaultHome()
		}
		return config.Options{Home: home, ConfFile: conf, Defines: d, Environ: os.Environ()}, nil
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := options()
		if err != nil {
			return err
		}
		return serve(cmd.Context(), o)
	}
	root.PersistentFlags().StringVar(&home, "home", "", "folder with bin, conf and logs (default: the one above this program's)")
	root.PersistentFlags().StringVar(&conf, "conf", "", "main configuration file (default: conf/canal.properties below home)")
	root.PersistentFlags().StringArrayVarP(&defines, "define", "D", nil, "key=value: overrides the configuration files")
	root.AddCommand(configCommand(options), schemaCommand(options), checkCommand(options), clusterCommand(options), tailCommand(), &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "canald %s %s %s/%s\n", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	})
	return root
}

// noArguments refuses what is no command. It does not repeat a URL, which may
// hold a password.
func noArguments(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case strings.Contains(args[0], "://"):
		return errors.New("a source's URL belongs to a command: canald tail mysql://…")
	}
	return fmt.Errorf("unknown command %q; canald --help lists them", args[0])
}

// parseDefines reads -Dkey=value; as for Java, a key alone has the empty value.
func parseDefines(list []string) (map[string]string, error) {
	m := make(map[string]string, len(list))
	for _, d := range list {
		k, v, _ := strings.Cut(d, "=")
		if k == "" {
			return nil, errors.New("-D: key=value is expected")
		}
		m[k] = v
	}
	return m, nil
}

// javaDefines reads the -Dkey=value of JAVA_OPTS, where scripts of Canal users put
// them; what else stands there is for a JVM.
func javaDefines(options string) map[string]string {
	m := map[string]string{}
	for o := range strings.FieldsSeq(options) {
		if d, ok := strings.CutPrefix(strings.Trim(o, `"'`), "-D"); ok {
			if k, v, _ := strings.Cut(d, "="); k != "" {
				m[k] = v
			}
		}
	}
	return m
}

// defaultHome is the folder above the program's when it looks like an
// installation, else the working folder.
func defaultHome() string {
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			home := filepath.Dir(filepath.Dir(exe))
			if info, err := os.Stat(filepath.Join(home, "conf")); err == nil && info.IsDir() {
				return home
			}
		}
	}
	return "."
}

// version is set by the linker for releases.
var version string

func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return v
}
