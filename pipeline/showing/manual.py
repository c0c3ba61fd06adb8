"""The manual of an exported model: a README that says what it takes and gives, with code that runs. Pure."""

from pipeline.artifacts.exported import Checked, Exported
from pipeline.base.words import counted

FITS = {
    "crop": "the centre square of the picture",
    "pad": "all of the picture, with grey (128) beside its shorter side",
    "stretch": "all of the picture, squeezed to a square",
}
"""What a model sees, by fit."""

PACKAGES = {"saved_model": "tensorflow", "litert": "ai-edge-litert", "onnx": "onnxruntime"}
"""What `pip install` needs to run a model, by format."""


def readme(exported: Exported) -> str:
    """Markdown for the folder of an export."""
    height, width, channels = exported.image_shape
    colours = "red, green and blue" if channels == 3 else "grey"
    checked, count = exported.checked, len(exported.labels)
    threshold = exported.min_probability
    below = f"\n\nBelow a probability of {threshold:g} the version in the registry gives no label." if threshold else ""
    return f"""# {exported.registered_model} v{exported.version}, as {exported.format}

`{exported.file}` gives each of {count} labels a calibrated probability.

- Input `{exported.input}`: uint8 (images, {height}, {width}, {channels}), {colours}, 0 to 255.
  The model sees {FITS[exported.fit]}. Scaling is inside.
- Output `{exported.output}`: float32 (images, {count}), in the order of `labels` in `model.json`.

On {images(checked)} its labels are those of v{exported.version};
probabilities differ by {checked.largest_difference:.1g} at most ({checked.tolerance:g} is tolerated).
A picture that another library resizes gives slightly other pixels.{below}

```sh
pip install {PACKAGES[exported.format]} numpy pillow
```

```python
{_code(exported)}
```
"""


def images(checked: Checked) -> str:
    """What an exported model was compared on."""
    kinds = [counted(checked.holdout, "holdout image"), counted(checked.noise, "image") + " of noise"]
    return " and ".join(kind for kind, count in zip(kinds, (checked.holdout, checked.noise), strict=True) if count)


def _code(exported: Exported) -> str:
    """Python that answers photo.jpg, in the folder of the export."""
    size, _, channels = exported.image_shape
    load, ask = _model(exported)
    lines = [
        "import json",
        "import numpy as np",
        *load[:1],
        "from PIL import Image, ImageOps",
        "",
        *load[1:],
        f'image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("{"RGB" if channels == 3 else "L"}")',
        *_fitted(exported.fit, size, channels),
        f"pixels = np.asarray(image, np.uint8).reshape(1, {size}, {size}, {channels})",
        ask,
        'labels = json.load(open("model.json", encoding="utf-8"))["labels"]',
        "print(labels[probabilities.argmax()], probabilities.max())",
    ]
    return "\n".join(lines)


def _model(exported: Exported) -> tuple[list[str], str]:
    """Lines that load the model, the import first, and the line that asks it."""
    name, given, asked = exported.file, exported.input, exported.output
    if exported.format == "saved_model":
        load = ["import tensorflow as tf", f'model = tf.saved_model.load("{name}")']
        return load, f'probabilities = model.serve(pixels)["{asked}"].numpy()[0]'
    if exported.format == "litert":
        load = [
            "from ai_edge_litert.interpreter import Interpreter",
            f'model = Interpreter(model_path="{name}").get_signature_runner()',
        ]
        return load, f'probabilities = model({given}=pixels)["{asked}"][0]'
    load = ["import onnxruntime", f'model = onnxruntime.InferenceSession("{name}")']
    return load, f'probabilities = model.run(["{asked}"], {{"{given}": pixels}})[0][0]'


def _fitted(fit: str, size: int, channels: int) -> list[str]:
    """Lines that make a square of an image, as `images.decoding` does."""
    if fit == "stretch":
        return [f"image = image.resize(({size}, {size}), Image.Resampling.BILINEAR, reducing_gap=3)"]
    if fit == "crop":
        return [
            "side = min(image.size)",
            "left, top = (image.width - side) / 2, (image.height - side) / 2",
            "box = (left, top, left + side, top + side)",
            f"image = image.resize(({size}, {size}), Image.Resampling.BILINEAR, box, reducing_gap=3)",
        ]
    grey = (128,) * channels if channels == 3 else 128
    return [
        f"shape = [max(1, round(side * {size} / max(image.size))) for side in image.size]",
        "small = image.resize(shape, Image.Resampling.BILINEAR, reducing_gap=3)",
        f"image = Image.new(image.mode, ({size}, {size}), {grey})",
        f"image.paste(small, (({size} - small.width) // 2, ({size} - small.height) // 2))",
    ]
