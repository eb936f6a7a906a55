"""``python -m search.child.inside FD OBJECTIVE``: answers one task after another until the pipe ends.

The end of the pipe ends it at once, so that a killed worker leaves nobody training.
"""

import socket
import sys

import optuna

from search.child.inside.serve import serve

if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Tracing holds the interpreter for seconds; a short switch interval lets the reader see the pipe's end.
    sys.setswitchinterval(0.001)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
