"""Incremental learning against training from scratch: accuracy, cost and negative flips, on CIFAR-10 JPEGs.

`python -m benchmarks.learning` plays streams of cycles with the product's own training code and
the defaults of params.yaml, once per seed and arm: the recipe, the recipe without each of its elements, and what others
do. Everything is paired: the arms of a seed see the same images in the same order, start from the same first model and
are scored on the same test images. A trial that is done is kept in `--work` and not run again. The outcome, a table and
a plot go to `benchmarks/results/`. Prints one JSON object last.
"""
