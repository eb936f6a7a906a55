"""Checkpoints, models and logs: a record in one table, the bytes in a store. One file a store, found by its scheme."""
