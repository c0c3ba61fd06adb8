"""`python -m benchmarks.NAME`: figures that anyone can measure again; and the demo."""
