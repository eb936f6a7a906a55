"""Decisions: pure functions of what they are given, without process, SQL or clock; and ``asha``, which asks Optuna.

Anybody may ask them; they ask nobody.
"""
