"""The winner as a folder: its model, what it is worth, and a report; and the count of looks at the test set.

Knows no network and no metric: what an objective leaves and how it is shown is declared in the contract.
"""
