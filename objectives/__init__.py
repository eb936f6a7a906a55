"""A file here is an objective: a search space and how one trial of it is trained. The folders are what they share."""
