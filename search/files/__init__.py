"""Checkpoints, models and logs: recorded in one table, their bytes in a store. One file a store, found by its scheme."""
