"""Which images there are, told by DVC's hashes without opening any: batches, delta, ledger, splits, the dataset.

Imports base and artifacts.
"""
