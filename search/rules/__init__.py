"""Decisions, each a pure function that takes what it decides on and touches nothing: no process, no SQL, no clock.

Anybody may ask them; they ask nobody.
"""
