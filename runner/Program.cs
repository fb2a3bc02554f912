return Halo.Runner.Cli.Root.Run(args);
