"""What people see: a database's status as data and as lines, the live screen, the plan and the outcome, the dashboard.

Reads only. ``status`` and ``lines`` do without Optuna, whose import takes longer than they do.
"""
