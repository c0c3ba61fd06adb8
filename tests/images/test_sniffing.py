from pipeline.images import decoding, sniffing


def test_neither_the_name_nor_the_format_but_the_content_decides(draw):
    expected = "; expected JPEG, PNG, WEBP or BMP"
    assert decoding.inspect(draw("GIF")).error == f"a GIF file{expected}"
    assert decoding.inspect(draw("TIFF")).error == f"a TIFF file{expected}"
    assert decoding.inspect(b"an essay on cats").error == f"a text file{expected}"
    assert decoding.inspect(b"\1\2\3").error == f"not an image, or damaged at its beginning{expected}"
    assert decoding.inspect(b"").error == "empty file"


def test_extensions_that_fit_a_format():
    assert {kind: sniffing.extensions(kind)[0] for kind in sniffing.FORMATS} == {
        "JPEG": ".jpg",
        "PNG": ".png",
        "WEBP": ".webp",
        "BMP": ".bmp",
    }
    assert ".jpeg" in sniffing.extensions("JPEG")
    assert sniffing.extensions("GIF") == ()


def test_the_kind_is_what_the_first_bytes_say(draw):
    assert {kind: sniffing.kind(draw(kind)) for kind in sniffing.FORMATS} == {kind: kind for kind in sniffing.FORMATS}
    assert sniffing.kind(draw("GIF")) == "a GIF file"
    assert sniffing.kind(b"") == sniffing.kind(b"\1\2\3") == ""
