"""What images there are, by DVC's hashes and without opening any: batches, delta, ledger, splits, dataset.

Imports base.
"""
