from pipeline.base.words import counted


def test_one_is_not_called_many():
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(1200, "entry", "entries") == "1,200 entries"
    assert counted(1, "entry", "entries") == "1 entry"
