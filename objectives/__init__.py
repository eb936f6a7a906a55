"""A file here is an objective: a search space, what a trial of it trains, and what is declared of it.

The folders are what they share. Files may use all folders, ``training/`` uses ``models/`` and ``data/``, those two use
neither; of the service they know ``search.contract`` alone, ``models/`` not even that. No folder knows a file.
"""
