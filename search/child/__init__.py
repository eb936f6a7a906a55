"""A training process: started, asked and ended from here; ``inside`` is what runs in it, ``protocol`` what they say.

Nothing in here, on either side, knows the database.
"""
