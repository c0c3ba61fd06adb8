"""The stated response to each kind of file: what is refused, in which words; what is read, as what."""

import re
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import samples
from examples import examples
from hypothesis import strategies as st

from benchmarks import fuzz_images
from benchmarks.corpus import corpus
from pipeline.base.files import md5
from pipeline.images import decoding, workers
from pipeline.images.decoding import Facts, View
from pipeline.images.workers import Job, Limits

FILES = corpus()
VIEW = View(32)

REFUSED = {
    "empty.jpg": "empty file",
    "zeros.jpg": "only zero bytes; expected JPEG, PNG, WEBP or BMP",
    "half.jpg": "damaged JPEG: image file is truncated",
    "half_progressive.jpg": "damaged JPEG: image file is truncated",
    "header_only.jpg": "damaged JPEG: ",
    "no_end.jpg": "damaged JPEG: image file is truncated",
    "half.png": "damaged PNG: image file is truncated",
    "no_end.png": "damaged PNG: cut off: it has no IEND chunk",  # its pixels are there, and yet bytes went missing
    "half.webp": "damaged WEBP: cut off, ",
    "half.bmp": "damaged BMP: image file is truncated",
    "flipped_bit.png": "damaged PNG: ",
    "flipped_header.png": "damaged PNG: ",
    "short_data.png": "damaged PNG: too few rows of pixels",
    "no_data.png": "damaged PNG: image file is truncated",
    "no_width.png": "damaged PNG: its header makes no sense",
    "no_size.png": "damaged PNG: its header makes no sense",
    "no_palette.png": "damaged PNG: ",
    "bad_depth.png": "damaged PNG: its header makes no sense",
    "no_size.bmp": "damaged BMP: its header makes no sense",
    "bad_depth.bmp": "damaged BMP: Unsupported BMP pixel depth (5)",
    "no_tables.jpg": "damaged JPEG: ",
    "png_start_only.png": "damaged PNG: ",
    "riff_only.webp": "damaged WEBP: ",
    "text.jpg": "a text file; expected JPEG, PNG, WEBP or BMP",
    "page.jpg": "an HTML page; expected JPEG, PNG, WEBP or BMP",
    "picture.svg": "an SVG file; expected JPEG, PNG, WEBP or BMP",
    "lfs_pointer.jpg": "a Git LFS pointer, not the image itself; expected JPEG, PNG, WEBP or BMP",
    "paper.jpg": "a PDF file; expected JPEG, PNG, WEBP or BMP",
    "script.eps": "a PostScript file; expected JPEG, PNG, WEBP or BMP",
    "archive.jpg": "a ZIP file; expected JPEG, PNG, WEBP or BMP",
    "packed.jpg": "a gzip file; expected JPEG, PNG, WEBP or BMP",
    "still.gif": "a GIF file; expected JPEG, PNG, WEBP or BMP",
    "moving.gif": "a GIF file; expected JPEG, PNG, WEBP or BMP",
    "gif_named.jpg": "a GIF file; expected JPEG, PNG, WEBP or BMP",
    "scan.tiff": "a TIFF file; expected JPEG, PNG, WEBP or BMP",
    "pages.tiff": "a TIFF file; expected JPEG, PNG, WEBP or BMP",
    "not_a_number.tiff": "a TIFF file; expected JPEG, PNG, WEBP or BMP",
    "phone.heic": "a HEIC file; expected JPEG, PNG, WEBP or BMP",
    "picture.avif": "an AVIF file; expected JPEG, PNG, WEBP or BMP",
    "film.mp4": "an MP4 or other video file; expected JPEG, PNG, WEBP or BMP",
    "wavelets.jp2": "a JPEG 2000 file; expected JPEG, PNG, WEBP or BMP",
    "icon.ico": "an icon file; expected JPEG, PNG, WEBP or BMP",
    "layers.psd": "a Photoshop file; expected JPEG, PNG, WEBP or BMP",
    "noise.jpg": "not an image, or damaged at its beginning; expected JPEG, PNG, WEBP or BMP",
    "moving.png": "animated, 4 frames; expected a single picture",
    "moving.webp": "animated, 4 frames; expected a single picture",
    "bomb_header.png": "60000 x 60000 pixels, more than 64,000,000",
    "bomb_largest_header.png": "2147483647 x 2147483647 pixels, more than 64,000,000",
    "bomb_one_bit.png": "30000 x 30000 pixels, more than 64,000,000",
    "bomb_at_the_cap.png": "needs more than 400 MB of memory",
    "bomb_over_the_cap.png": "8001 x 8000 pixels, more than 64,000,000",
    "bomb_header.bmp": "60000 x 60000 pixels, more than 64,000,000",
    "bomb_header.webp": "more than 64,000,000 pixels",
    "bomb_scans.jpg": "damaged JPEG: cut off: scans are missing",  # none refines its means
    "bomb_text.png": "damaged PNG: Decompressed data too large",
    "bomb_unicode_text.png": "damaged PNG: Decompressed data too large",
    "bomb_profile.png": "damaged PNG: Decompressed data too large",
}

READ = {
    "mpo.jpg": ("JPEG", "RGB", 64, 48),
    "png_named.jpg": ("PNG", "RGB", 64, 48),
    "cmyk.jpg": ("JPEG", "CMYK", 64, 48),
    "palette_clear.png": ("PNG", "P", 64, 48),
    "grey_alpha.png": ("PNG", "LA", 64, 48),
    "one_bit.png": ("PNG", "1", 64, 48),
    "sixteen_bit_grey.png": ("PNG", "I;16", 64, 48),
    "interlaced.png": ("PNG", "L", 8, 8),
    "alpha.webp": ("WEBP", "RGBA", 64, 48),
    "one_pixel.png": ("PNG", "RGB", 1, 1),
    "sliver.png": ("PNG", "RGB", 1, 20_000),
    "orientation_6.jpg": ("JPEG", "RGB", 48, 64),
    "orientation_6.png": ("PNG", "RGB", 48, 64),
    "orientation_6.webp": ("WEBP", "RGB", 48, 64),
    "orientation_9.jpg": ("JPEG", "RGB", 64, 48),
    "broken_exif.jpg": ("JPEG", "RGB", 64, 48),
    "broken_profile.jpg": ("JPEG", "RGB", 64, 48),
    "polyglot.jpg": ("JPEG", "RGB", 64, 48),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, tuple[Facts, np.ndarray]]:
    """Facts and pixels of the whole corpus, all of them from worker processes."""
    folder = tmp_path_factory.mktemp("corpus")
    jobs = []
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
        jobs.append(Job(md5(content), (str(folder / name),)))
    facts = workers.look(jobs, Limits(64_000_000, 5, 400 * 2**20), {VIEW: folder / "pixels.npy"}, "corpus")
    return dict(zip(FILES, zip(facts, np.load(folder / "pixels.npy"), strict=True), strict=True))


def test_the_corpus_is_wide_and_always_the_same():
    assert len(FILES) >= 60
    assert corpus() == FILES


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_read_or_refused_in_the_stated_words(found, name):
    facts, pixels = found[name]
    assert facts.error.startswith(REFUSED[name]) if name in REFUSED else facts.error == ""
    assert bool(facts.error) == (name in REFUSED)
    assert (facts.format == "") == (name in REFUSED)
    assert not (name in REFUSED and pixels.any())


@pytest.mark.parametrize("name", FILES)
def test_a_reason_is_a_line_of_printable_ascii(found, name):
    assert re.fullmatch(r"[ -~]{0,200}", found[name][0].error)


@pytest.mark.parametrize("name", READ)
def test_what_is_read_is_described(found, name):
    facts = found[name][0]
    assert (facts.format, facts.mode, facts.width, facts.height) == READ[name]


def test_an_animation_says_how_many_frames_it_has(found):
    assert found["moving.png"][0].frames == found["moving.webp"][0].frames == 4


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on what it skips
@pytest.mark.parametrize("name", [name for name in FILES if name not in REFUSED])
def test_what_is_accepted_decodes_to_the_same_pixels_everywhere(found, name):
    np.testing.assert_array_equal(decoding.decode(FILES[name], 32, 3), found[name][1])


def test_a_message_shows_nothing_of_a_file_but_printable_ascii():
    """Decoders quote the file."""
    assert decoding._reason(ValueError("chunk \x1b[2J\u202e\n::error::\xe9")) == "chunk ?[2J? ::error::?"


ORIGINALS = list(fuzz_images.originals_of(FILES))


@pytest.fixture(scope="module")
def served():
    """Serving's own way from bytes to what the network sees."""
    import pandas as pd

    from pipeline.learning import model
    from pipeline.serving import Classifier

    seen = []
    classifier = object.__new__(Classifier)
    classifier._description = samples.description(image_shape=(32, 32, 3))
    classifier._network = None

    def pixels(content: bytes) -> np.ndarray:
        seen.clear()
        classifier.predict(pd.DataFrame({"image": [content]}))
        return seen[0][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "logits", lambda _, rows, __: seen.append(rows) or np.zeros((len(rows), 2)))
        yield pixels


@pytest.mark.project  # serving loads MLflow
@pytest.mark.filterwarnings("ignore::UserWarning")
@examples(400)
@hypothesis.given(seed=st.integers(0, 10**6), number=st.integers(0, 10**6))
def test_what_look_accepts_decode_and_serving_read_with_equal_pixels(served, seed, number):
    content = fuzz_images.mutant(ORIGINALS, seed, number)
    facts, pixels = decoding.look(content, VIEW)
    if facts.error:
        with pytest.raises(ValueError, match="1 of 1 images cannot be decoded"):
            served(content)
    else:
        np.testing.assert_array_equal(decoding.decode(content, 32, 3), pixels)
        np.testing.assert_array_equal(served(content), pixels)


def test_two_thousand_mutants_cost_nothing_but_themselves(tmp_path, capsys):
    assert fuzz_images.main(["--n", "2000", "--seed", "7", "--keep", str(tmp_path / "kept")]) == 0
    figures = fuzz_images.json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["accepted"] + figures["refused"] + figures["out_of_memory"] == 2000
    assert figures["accepted"] > 200
    assert figures["peak_worker_mb"] > 30
    assert not (tmp_path / "kept").exists()


def test_a_mutant_that_is_read_in_two_ways_is_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(decoding, "decode", lambda *_: np.zeros((32, 32, 3)))
    assert fuzz_images.main(["--n", "60", "--seed", "7", "--keep", str(tmp_path)]) == 1
    assert "differing" in capsys.readouterr().out
    (kept,) = tmp_path.iterdir()
    number = int(kept.name.removeprefix("differing-7-"))
    assert kept.read_bytes() == fuzz_images.mutant(ORIGINALS, 7, number)


def test_crashes_and_hangs_are_told_from_refusals():
    words = {
        "": "accepted",
        "crashed the decoder (signal 11)": "crashes",
        "took more than 5 s of CPU time": "hangs",
        "took more than 30 s": "hangs",
        "needs more than 400 MB of memory": "out_of_memory",
        "empty file": "refused",
    }
    assert {error: fuzz_images._word(Facts(0, error=error)) for error in words} == words


def test_every_row_of_the_tables_is_a_file():
    assert {*REFUSED, *READ} <= FILES.keys()
    assert not Path("fuzz-failures").exists()
