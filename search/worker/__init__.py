"""One process a machine: claims leases, runs their trials in children, and keeps both alive. No Keras in it.

``loop`` is the process, ``trial`` one trial from the claim to the tell; the others serve these two.
"""
