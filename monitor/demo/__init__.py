"""A sample newsroom and mail server on loopback: the whole program, offline, in one command."""
