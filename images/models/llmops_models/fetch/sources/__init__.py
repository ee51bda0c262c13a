"""One module a repository: what it has, where, and with which checksums."""
