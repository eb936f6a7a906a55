"""What runs in a training process: ``python -m search.child.inside FD OBJECTIVE``. Its only way out is the pipe."""
