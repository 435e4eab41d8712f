"""The command: `outside run`, `outside routes`, and running a program again whenever its files change. Nothing imports it but the
command in `crates/outside-cli`, through `crates/outside-python`."""
