"""What each command of the command line does with its configuration: `run(config)`, one module a command."""
