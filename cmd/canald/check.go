package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/canald/canald/internal/check"
	"github.com/canald/canald/internal/config"
)

func checkCommand(options func() (config.Options, error)) *cobra.Command {
	var asJSON, migrate bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Look at configuration, sources, folders and ports, and say what is wrong and what repairs it",
		Long: "check looks at a home and at the sources that it names, and changes nothing. Exit code 1 means that there are problems.\n" +
			"With --migrate it also says what a take-over of a Java server's home will mean.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := options()
			if err != nil {
				return err
			}
			r, err := check.Run(cmd.Context(), check.Options{Config: o, Migrate: migrate})
			if err != nil {
				return err
			}
			write := r.WriteText
			if asJSON {
				write = r.WriteJSON
			}
			if err := write(cmd.OutOrStdout()); err != nil {
				return err
			}
			if n := r.Count(check.Problem); n > 0 {
				return fmt.Errorf("%d problems", n)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.Flags().BoolVar(&migrate, "migrate", false, "also say what a take-over of a Java server's home will mean")
	return c
}
