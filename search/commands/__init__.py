"""The command line: ``options`` is what can be typed, then one file a command, with its function ``run``."""
