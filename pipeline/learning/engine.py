"""A network in training: the compiled step, the compiled scoring, and all the values that they change.

Home of TensorFlow. The step runs under `strategy.run`, where `Model.fit` of Keras 3 cannot (keras#20585).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.model import Description
from pipeline.learning import balance, cut, model, networks
from pipeline.learning.checkpoint import Values
from pipeline.learning.settings import Train

if TYPE_CHECKING:
    import numpy as np

    from pipeline.data.dataset import Part

    Arrays = Mapping[str, np.ndarray]

MANY = 1_000_000
"""Steps. An average adapts fast at first and slows down with its steps; after so many it has the speed it keeps."""


def _tensorflow() -> Any:
    """TensorFlow, imported by way of `model.keras`, which first sets what TensorFlow reads when it is imported."""
    model.keras()
    import tensorflow

    return tensorflow


def make_repeatable(seed: int, threads: int) -> None:
    """Make results depend on seed, inputs and machine alone. Call it before anything else uses TensorFlow.

    Args:
        seed: of fresh weights and dropout.
        threads: of TensorFlow; sums depend on how many there are.
    """
    keras, tf = model.keras(), _tensorflow()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        pass  # TensorFlow runs already, as in a test: its threads stay as they are
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def strategy(devices: str) -> Any:
    """The `tf.distribute.Strategy` that shares the work; model and optimizer have to be built in its `scope()`.

    Args:
        devices: `one`, or `all` of this machine, each of which gets a part of every batch.
    """
    tf = _tensorflow()
    if devices == "one":
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices())


def versions() -> dict[str, str]:
    """Versions of the libraries that compute, and the kind of machine: the last bits of a model depend on them."""
    import platform
    from importlib import metadata

    import numpy as np

    tf = _tensorflow()
    return {
        "keras": model.keras().__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "pillow": metadata.version("pillow"),
        "machine": platform.machine(),
    }


class Engine:
    """A network in training: the compiled step, the compiled scoring, and all the values that they change.

    Where a part of the network is frozen, `network` is the other part: it is fed features, and knows nothing of pixels.
    """

    def __init__(
        self,
        network: Any,
        optimizer: Any,
        train: Train,
        shared: Any = None,
        frozen_at: str | None = None,
        has_features: bool = False,
        counts: Sequence[int] = (),
    ) -> None:
        """Take a network and an optimizer with the values to start from.

        Args:
            network: a `keras.Model` that gives logits, built in the scope of `shared`.
            optimizer: of Keras, made in that scope too.
            train: section `train` of params.yaml.
            shared: a `tf.distribute.Strategy`; None: the default one.
            frozen_at: where the frozen part ends, see `cut.split`; None: all of the network is trained.
            has_features: whether the network as a whole is fed features.
            counts: all training images by label, whether they are fed or not; for `train.balance` alone.

        Raises:
            ModelError: see `cut.split`.
        """
        tf = _tensorflow()
        self.outer, self.optimizer = network, optimizer
        parted = cut.split(network, frozen_at) if frozen_at else None
        self.network, self._seen = (parted.tuned, parted.features) if parted else (network, network.input)
        self._has_features = has_features or parted is not None
        network = self.network
        self.shared = shared or tf.distribute.get_strategy()
        self._positions = cut.positions(self.outer, self.network)
        self.is_averaged, self.is_mixing = train.average > 0, train.is_mixing
        self.counts, self._balance = counts, train.balance
        self.label_weights = balance.weights(counts) if train.balance else None
        """See `balance.weights`; None: all labels as they come."""
        # Statistics of batch normalisation that come from millions of pictures are better than those of a few batches.
        self._learns_statistics = train.pretrained is None
        self.num_labels = int(network.output_shape[-1])
        with self.shared.scope():
            optimizer.build(network.trainable_variables)
            self.average = [tf.Variable(weight) for weight in network.weights] if self.is_averaged else []
            self._updates = tf.Variable(0, dtype=tf.int64)
        if self.shared.num_replicas_in_sync > 1:
            for layer in network._flatten_layers():
                if isinstance(layer, model.keras().layers.BatchNormalization):
                    layer.synchronized = True
        self._step, self._score = self._compiled()

    def _compiled(self) -> tuple[Any, Any]:
        tf = _tensorflow()
        network, optimizer, replicas = self.network, self.optimizer, self.shared.num_replicas_in_sync
        loss_of = model.keras().losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
        kind = tf.float16 if self._has_features else tf.uint8
        pixels_spec = tf.TensorSpec((None, *network.input_shape[1:]), kind)
        labels_spec, shares_spec = tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None,), tf.float32)
        scored_spec = (pixels_spec, labels_spec, shares_spec)
        batch_spec = (*scored_spec, labels_spec, shares_spec) if self.is_mixing else scored_spec

        balanced_loss_of = self._balanced(loss_of)

        def scored(
            training: bool, of_step: Any, pixels: Any, labels: Any, counts: Any, *mixture: Any
        ) -> tuple[Any, Any, Any]:
            logits = tf.cast(network(tf.cast(pixels, tf.float32), training=training), tf.float32)
            right = tf.cast(tf.equal(tf.argmax(logits, axis=1), labels), tf.float32)

            def total(of: Any) -> Any:
                losses = of(labels, logits)
                if mixture:
                    partners, shares = mixture
                    losses = shares * losses + (1 - shares) * of(partners, logits)
                return tf.reduce_sum(losses * counts)

            loss = total(loss_of)
            return loss, tf.reduce_sum(right * counts), loss if of_step is loss_of else total(of_step)

        def step_of_device(total: Any, *batch: Any) -> tuple[Any, Any]:
            with tf.GradientTape() as tape:
                loss, right, minimised = scored(self._learns_statistics, balanced_loss_of, *batch)
                # The optimizer sums the gradients of all devices.
                objective = optimizer.scale_loss(minimised / total + sum(network.losses) / replicas)
            variables = network.trainable_variables
            optimizer.apply(tape.gradient(objective, variables), variables)
            return loss, right

        def step(batch: Any, total: Any, decay: Any) -> tuple[Any, Any]:
            by_device = self.shared.run(step_of_device, args=(total, *batch))
            loss, right = (self.shared.reduce("SUM", values, axis=None) for values in by_device)
            if self.is_averaged:
                updates = tf.cast(self._updates.assign_add(1), tf.float32)
                # Small at first, so that the average soon forgets the weights of before the first step.
                keep = tf.minimum(decay, (1 + updates) / (10 + updates))
                for mean, weight in zip(self.average, network.weights, strict=True):
                    now = tf.convert_to_tensor(weight)
                    mean.assign(now + keep * (mean - now) if now.dtype.is_floating else now)
            return loss, right

        scalar = tf.TensorSpec((), tf.float32)
        # A batch that is spread over devices has no single signature.
        signature = [batch_spec, scalar, scalar] if replicas == 1 else None
        return (
            tf.function(step, input_signature=signature),
            tf.function(lambda *batch: scored(False, loss_of, *batch)[:2], input_signature=scored_spec),
        )

    def _balanced(self, loss_of: Any) -> Any:
        """What a step minimises, in the place of a loss of each image."""
        if self.label_weights is None or self._balance not in ("weights", "adjusted"):
            return loss_of
        tf = _tensorflow()
        if self._balance == "weights":
            return lambda labels, logits: tf.gather(tf.constant(self.label_weights), labels) * loss_of(labels, logits)
        # Logit adjustment (Menon et al., ICLR 2021, arXiv:2007.07314): what is learned besides the shares of labels.
        return lambda labels, logits: loss_of(labels, logits - tf.math.log(tf.constant(self.label_weights)))

    def feed(
        self,
        pixels: "np.ndarray",
        labels: "np.ndarray",
        partners: "np.ndarray | None" = None,
        shares: "np.ndarray | None" = None,
    ) -> Any:
        """A batch as `step` takes it: an equal part for each device, padded with images that do not count.

        Args:
            pixels: uint8 (images, height, width, channels).
            labels: int64 (images,).
            partners, shares: see `augment.Batch`; both, where `train` mixes images, else none.
        """
        import numpy as np

        tf = _tensorflow()
        counts = np.ones(len(labels), np.float32)
        mixture = () if partners is None or shares is None else (partners, shares)
        replicas = self.shared.num_replicas_in_sync
        if replicas == 1:
            return tuple(tf.convert_to_tensor(values) for values in (pixels, labels, counts, *mixture))
        missing = -len(labels) % replicas
        size = len(labels) + missing
        filled = [np.resize(values, (size, *values.shape[1:])) for values in (pixels, labels, *mixture)]
        columns = (*filled[:2], np.pad(counts, (0, missing)), *filled[2:])

        def part(context: Any) -> Any:
            return tuple(
                tf.convert_to_tensor(np.array_split(values, replicas)[context.replica_id_in_sync_group])
                for values in columns
            )

        return self.shared.experimental_distribute_values_from_function(part)

    def step(self, batch: Any, count: int, decay: float) -> tuple[float, int]:
        """Learn from a batch.

        Args:
            batch: see `feed`.
            count: its images, without the padding.
            decay: share of the average that is kept, 0 to 1.

        Returns:
            Sum of the images' losses before the step, and how many of them were classified right: a mixed image as its
            own label, whatever its share. Each image counts alike here, so that a rare one is no divergence.
        """
        loss, right = self._step(batch, float(count), decay)
        return float(loss), int(right)

    def score(self, pixels: "np.ndarray", labels: "np.ndarray") -> tuple[float, float, float]:
        """Sum of the losses in nats, how many images are classified right, and how many there are.

        With `train.balance` an image counts as much as its label does. Takes what `feed` takes.
        """
        import numpy as np

        # Else the epoch and the mixture that are kept, and the end, would be those that favour the large labels: of a
        # parent that was trained without balance nothing would ever be learned. A temperature is fitted to val as it
        # is: probabilities are to hold for such images as come.
        counts = np.ones(len(labels), np.float32) if self.label_weights is None else self.label_weights[labels]
        loss, right = self._score(pixels, labels, counts)
        return float(loss), float(right), float(counts.sum(dtype=np.float64))

    def scores(self, part: "Part", rows: "Sequence[int] | np.ndarray", batch_size: int) -> tuple[float, float]:
        """Mean loss and accuracy of the network, as it is, on some images of a part; see `score`.

        Args:
            part: of the dataset.
            rows: of the images, ascending.
            batch_size: images at once.
        """
        import numpy as np

        loss, right, count = 0.0, 0.0, 0.0
        for start in range(0, len(rows), batch_size):
            some = np.asarray(rows[start : start + batch_size])
            batch_loss, batch_right, size = self.score(part.take(some), part.labels[some])
            loss, right, count = loss + batch_loss, right + batch_right, count + size
        return loss / count, right / count

    @property
    def head(self) -> Any:
        """The layer that gives the logits: see `networks.head`."""
        return networks.head(self.outer)

    @property
    def body(self) -> Any:
        """A `keras.Model` from what the network sees to what its head sees; None where the head alone is trained."""
        features = networks.features(self.outer)
        return None if self._seen is features else model.keras().Model(self._seen, features)

    def tuned(self, whole: "Arrays") -> "Arrays":
        """Of the weights of the whole network those that are trained, by position among these."""
        return cut.taken(whole, self._positions)

    def whole(self, around: "Arrays", tuned: "Arrays") -> "Arrays":
        """Weights of the whole network: the inverse of `tuned`, with what is frozen taken from `around`."""
        return cut.joined(around, tuned, self._positions)

    def served(self) -> "dict[str, np.ndarray]":
        """The weights that are scored and kept: the averages where `train.average` asks for them."""
        return model.arrays(self.average if self.is_averaged else self.network.weights)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(model.arrays([self.optimizer.learning_rate])["0000"])

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Give the network the weights of `served` for a while."""
        if not self.is_averaged:
            yield
            return
        own = model.arrays(self.network.weights)
        model.fill(self.network.weights, self.served(), "averages")
        try:
            yield
        finally:
            model.fill(self.network.weights, own, "weights")

    def begin(
        self, weights: "Mapping[str, np.ndarray]", optimizer: "Mapping[str, np.ndarray]", is_good: bool = False
    ) -> None:
        """Start from these values.

        Args:
            weights: of the network.
            optimizer: its variables.
            is_good: whether the weights are worth keeping; then the average does not soon forget them.
        """
        model.fill(self.network.weights, weights, "start")
        model.fill(self.optimizer.variables, optimizer, "optimizer of start")
        if self.is_averaged:
            model.fill(self.average, weights, "averages")
            self._updates.assign(MANY if is_good else 0)

    def values(self) -> Values:
        """Copies of all values that training changes."""
        return Values(
            model.arrays(self.network.variables),
            model.arrays([*self.average, self._updates] if self.is_averaged else []),
            model.arrays(self.optimizer.variables),
        )

    def fill(self, values: Values) -> None:
        """Set all values that training changes; the inverse of `values`."""
        model.fill(self.network.variables, values.variables, "checkpoint")
        model.fill([*self.average, self._updates] if self.is_averaged else [], values.average, "averages of checkpoint")
        model.fill(self.optimizer.variables, values.optimizer, "optimizer of checkpoint")


def create(description: Description, train: Train, pretrained: str | None = None, counts: Sequence[int] = ()) -> Engine:
    """A new network with its optimizer, on the devices and in the precision that `train` names.

    Args:
        description: of the model.
        train: section `train` of params.yaml.
        pretrained: the data set whose weights it begins with, e.g. imagenet; None: fresh weights.
        counts: see `Engine`.

    Raises:
        ModelError: see `model.build`.
    """
    shared = strategy(train.devices)
    with shared.scope():
        model.use(train.precision)
        network = model.build(description, pretrained)
        optimizer = model.optimizer(train)
        frozen_at = description.frozen.cut if description.frozen else None
        return Engine(network, optimizer, train, shared, frozen_at, counts=counts)


class Summaries:
    """Scalars in a file of events, as TensorBoard reads them. `tf.summary.scalar` would need its package."""

    def __init__(self, folder: Path) -> None:
        tf = _tensorflow()
        self._writer = tf.summary.create_file_writer(str(folder))
        self._kind = tf.compat.v1.SummaryMetadata()
        self._kind.plugin_data.plugin_name = "scalars"

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write values by tag, and have them on disk."""
        tf = _tensorflow()
        with self._writer.as_default():
            for tag, value in values.items():
                tf.summary.write(tag, tf.constant(value, tf.float32), step, self._kind)
        self._writer.flush()
