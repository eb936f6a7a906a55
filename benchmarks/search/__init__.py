"""What a search finds, and what it is worth: proxies, samplers and pruners, whole searches."""
