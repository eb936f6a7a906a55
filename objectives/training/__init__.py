"""From a plan to a trained, kept and measured model. It knows ``models/`` and ``data/``, and no objective's file."""
