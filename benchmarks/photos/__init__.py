"""Fine-tuning of a pretrained network in cycles against training it from scratch: accuracy, cost and new labels.

`python -m benchmarks.photos --images DIR --weights FILE` plays streams of cycles on photographs with the product's own
training code and the defaults of params.yaml for a pretrained network, once per seed and arm, as `benchmarks.learning`
does for a small network: the arms of a seed see the same photographs in the same order and are scored on the same test
photographs. A trial that is done is kept in `--work` and not run again. The outcome, a table and a plot go to
`benchmarks/results/`. With `--cycle` it measures the seconds of whole cycles instead, with `--script` the network for
which no weights are needed against a script. Prints one JSON object last.
"""
