"""Decisions: pure functions of what they are given, without process, SQL or clock; and ``asha`` and ``quadratic``,
which are Optuna's kinds of pruner and sampler.

Anybody may ask them; they ask nobody.
"""
