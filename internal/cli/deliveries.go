package cli

import "github.com/spf13/cobra"

func (w *world) deliveriesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "Fetches deliveries that never arrived",
		Long: `Works on the database of DATABASE_URL directly, beside a running service or without one: whoever may open the database
may operate.`,
		Example: `  github-pr-manager deliveries recover --since 6h`,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(w.deliveriesRecoverCommand())
	return cmd
}
