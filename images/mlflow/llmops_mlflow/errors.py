"""What a command ends with when it cannot do its work."""


class Failed(Exception):
    """Told in one sentence, without a traceback; the command ends with exit code 1."""
