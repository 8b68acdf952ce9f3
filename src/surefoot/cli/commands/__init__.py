"""commands: one module a command of `surefoot`, loaded when it is named. May import: the parts of cli, client, core."""
