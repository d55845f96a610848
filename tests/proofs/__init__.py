"""Promises of the record tried at length, a command each; `make test` runs a short form of every one."""
