"""Batches with wrong labels, planted: whether the rules of trust and the gate keep them from harming the champion."""
