"""Pretrained weights."""


from pipeline.base import files


def identity(pretrained: str | None) -> str:
    if pretrained is None or pretrained == "imagenet":
        return str(pretrained)
    return files.md5_file(pretrained)
