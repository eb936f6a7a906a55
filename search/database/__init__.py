"""The SQL: engines, our tables, and Optuna's storage behind the fence. Knows rows and transactions, and no study.

Who only reads needs ``engine``, ``tables`` and ``leases``; a worker opens ``storage``.
"""
