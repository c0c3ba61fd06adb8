"""params.yaml as frozen values: unknown, missing and impossible settings are errors.

A section of params.yaml is a class of the room that it is for (`pipeline/<room>/settings.py`). A stage asks for the
sections that it needs, and for no more of each than it needs: what it does not read cannot make it run again.
"""

import difflib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from pipeline.base import auto, files
from pipeline.base.errors import ParamsError

Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


def fits(pattern: str, words: str) -> BeforeValidator:
    """What a text has to be, told in words and not as a pattern.

    Args:
        pattern: regular expression for all of the text.
        words: what is expected, for people.
    """

    def check(value: Any) -> Any:
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        raise PydanticCustomError("text", "{words}", {"words": words, "pattern": pattern})

    return BeforeValidator(check)


WORDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false, without quotes",
    "tuple_type": "a list, e.g. [cat]",
    "dict_type": "names and values, e.g. {cat: lynx}",
}
"""What was expected, by the kind of error of pydantic."""

READ_AS = {bool: "yes or no", int: "a number", float: "a number"}
"""What YAML makes of a word without quotes."""

POWER = r"([-+]?\d+(?:\.\d*)?)[eE]([-+]?\d+)"
"""A number to people, which YAML 1.1 takes for a word if it has no point or no sign."""


class Section(BaseModel):
    """A section of params.yaml, or with `part=True` some keys of one: each is required, and nothing else is allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    is_part: ClassVar[bool] = False

    def __init_subclass__(cls, part: bool = False, **kwargs: Any) -> None:
        """Know whether this is a whole section; what is made of parts is whole, unless it says otherwise."""
        super().__init_subclass__(**kwargs)
        cls.is_part = part


class Excerpt(Section):
    """What one reader needs of params.yaml: a field for each section, of the section's class or of a part of it."""


Settings = TypeVar("Settings", bound=Section)


def load(path: Path, kind: type[Settings]) -> Settings:
    """Read params.yaml, with numbers for each `auto`.

    Args:
        path: of the file.
        kind: the whole file (`pipeline.settings.Params`), or an `Excerpt`: then other sections are not looked at.

    Raises:
        ParamsError: one line that names the key, what was given, what was expected, and the
            nearest valid key where one is close.
    """
    content = auto.filled(_read(path, kind))
    if issubclass(kind, Excerpt):
        content = {name: _wanted(content[name], section) for name, section in _fields(kind).items() if name in content}
    return checked(content, kind, str(path), path)


def checked(content: Mapping[str, Any], kind: type[Settings], name: str, path: Path | None = None) -> Settings:
    """Settings from a mapping of sections.

    Args:
        content: without `auto`, and of an excerpt without other sections.
        kind: see `load`.
        name: of where they stand, for errors.
        path: of the file that they stand in, if they do.

    Raises:
        ParamsError: see `load`.
    """
    try:
        return kind.model_validate(_tuples(content))
    except ValidationError as error:
        # A misspelt key is also a missing one: the unknown key is the one to name.
        faults = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        place = _place(faults[0])
        same = [fault for fault in faults if _place(fault) == place]  # one per choice of a union
        written = _written(path, same[0]) if path else ""
        first, *others = dict.fromkeys(_sentence(fault, kind, written) for fault in same)
        choices = [first, *(other.partition("; expected ")[2] for other in others)]
        raise ParamsError(f"{name}: {' or '.join(choices)}{_of_auto(same[0])}") from None


def differing(path: Path) -> dict[str, auto.Value]:
    """What `auto` stands for in the file, by setting, where that is another value than for small_cnn."""
    return auto.differing(_read(path, Excerpt))


def written(path: Path) -> dict[str, Any]:
    """What stands in the file, by setting with its section: `auto` as it is, and nothing checked."""
    return _by_name(_read(path, Excerpt))


def changed(path: Path, values: Mapping[str, str]) -> bytes:
    """The file with other values, and all else as it is: order, comments, line ends.

    Args:
        path: of the file.
        values: as YAML has them, by setting with its section.

    Raises:
        ParamsError: a setting cannot be changed alone; says which to change by hand.
    """
    before = _read(path, Excerpt)
    text = path.read_bytes().decode("utf-8")
    places = {name: place for name, place in _places(text).items() if name in values}
    for name, (start, end) in sorted(places.items(), key=lambda item: item[1], reverse=True):
        space = " " if text[start - 1 : start] == ":" else ""  # there was no value
        text = f"{text[:start]}{space}{values[name]}{text[end:]}"
    wanted = _by_name(before) | {name: yaml.safe_load(value) for name, value in values.items()}
    try:
        is_as_wanted = _by_name(files.parse_yaml(text)) == wanted
    except yaml.YAMLError:
        is_as_wanted = False
    if not is_as_wanted:
        settings = ", ".join(f"{name}: {value}" for name, value in values.items())
        raise ParamsError(f"{path}: expected each setting as a plain `name: value`; set {settings} there yourself")
    return text.encode()


def _by_name(content: Mapping[str, Any]) -> dict[str, Any]:
    sections = {section: keys for section, keys in content.items() if isinstance(keys, dict)}
    return {f"{section}.{key}": value for section, keys in sections.items() for key, value in keys.items()}


def _places(text: str) -> dict[str, tuple[int, int]]:
    """Where in a text the value of each setting begins and ends."""
    tree: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    return {
        f"{section.value}.{key.value}": (value.start_mark.index, value.end_mark.index)
        for section, keys in tree.value
        if isinstance(keys, yaml.MappingNode)
        for key, value in keys.value
    }


def _of_auto(error: Any) -> str:
    """What is to be said of `auto` to someone who wrote it, or may write it: the end of a sentence."""
    if error["type"] in ("extra_forbidden", "missing", "model_type"):
        return ""
    if ".".join(map(str, error["loc"][:2])) in auto.VALUES:
        return " or auto"
    return f"; only these may be auto: {', '.join(auto.VALUES)}" if error["input"] == auto.AUTO else ""


def _place(error: Any) -> tuple[str | int, ...]:
    """Section, key, and the place in a list or the name in a dict, without the choice of a union."""
    section_and_key, inside = error["loc"][:2], error["loc"][2:]
    return (*section_and_key, *(part for part in inside if isinstance(part, int)))


def _written(path: Path, error: Any) -> str:
    """How a value stands in the file, before YAML made something else of it; empty where it is no single word."""
    value: Any = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts only
    *parts, last = error["loc"]
    for part in parts[:-1] if last == "[key]" else error["loc"]:
        with suppress(KeyError, IndexError, TypeError):  # the choice of a union is no part of the file
            value = value[part]
    if last == "[key]":
        value = next((key for key in value if yaml.safe_load(key) == error["input"]), "")
    return value if isinstance(value, str) else ""


def _read(path: Path, kind: type[Section]) -> dict[str, Any]:
    try:
        content = files.parse_yaml(path.read_bytes())
    except FileNotFoundError:
        raise ParamsError(
            f"{path}: no such file; restore it with `git checkout {path}`, or run this in the folder that holds it"
        ) from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ParamsError(
            f"{path}: not valid YAML ({reason}); mend it, or restore it with `git checkout {path}`"
        ) from None
    if twice := _twice(path):
        raise ParamsError(f"{path}: {twice} is there twice; expected each setting once; delete one of the two")
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise ParamsError(
            f"{path}: expected the sections {', '.join(_fields(kind))}; found {found}; restore it with `git checkout "
            f"{path}`"
        )
    return content


def _twice(path: Path) -> str:
    """A section or a setting that stands in the file twice, of which YAML would take the last; empty if none does."""
    tree = yaml.compose(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    waiting = [("", tree)]
    while waiting:
        above, node = waiting.pop()
        if not isinstance(node, yaml.MappingNode):
            continue
        names = [f"{above}{key.value}" for key, _ in node.value]
        if repeated := [name for name in names if names.count(name) > 1]:
            return repeated[0]
        waiting += [(f"{name}.", value) for name, (_, value) in zip(names, node.value, strict=True)]
    return ""


def _wanted(value: Any, section: Any) -> Any:
    """The keys of a section that a part of it has; all of them for a whole one, whose unknown keys are faults."""
    if not isinstance(value, dict) or not section.is_part:
        return value
    return {name: value[name] for name in _fields(section) if name in value}


def _tuples(value: Any) -> Any:
    """YAML lists as tuples, which strict frozen sections ask for."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _fields(section: type[BaseModel]) -> dict[str, Any]:
    """Kind of each key, by its name in params.yaml."""
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _sentence(error: Any, kind: type[Section], written: str) -> str:
    where = [str(part) for part in error["loc"]]
    section, key = where[0] if where else "", ".".join(where[:2])
    sections = _fields(kind)
    if error["type"] == "extra_forbidden":
        names = [*_fields(sections[section])] if len(where) > 1 else [*sections]
        near = difflib.get_close_matches(where[-1], names, n=1, cutoff=0.0)[0]
        near = ".".join([*where[:-1], near])
        return f"{key} is not a setting; did you mean {near}?"
    if error["type"] == "missing" and len(where) > 2:
        return f"{key} is {list(error['input'])}; expected more values"
    if error["type"] == "missing":
        known = "`git diff` shows what went, the params.yaml of a newer Evergreen what came"
        return f"{key} is missing; every setting has to be there ({known})"
    if error["type"] == "value_error":
        return f"{key}: {error['ctx']['error']!s}"
    if error["type"] == "model_type":
        return f"{key} is {error['input']!r}; expected its settings, one on each line below it"
    is_text = error["type"] == "string_type" or re.fullmatch(error.get("ctx", {}).get("pattern", "$."), written)
    if is_text and not isinstance(error["input"], str) and written:
        made = READ_AS.get(type(error["input"]), "a date")
        return f'{key} has {written}, which YAML reads as {made}; expected a text; write it in quotes: "{written}"'
    return f"{key} is {_shown(error['input'])}; expected {_words(error)}"


def _shown(value: Any) -> str:
    """As YAML has it: null, true, a list in brackets."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(list(value) if isinstance(value, tuple) else value)


def _words(error: Any) -> str:
    """What was expected, in the words of YAML."""
    if error["type"] == "float_type" and (power := re.fullmatch(POWER, str(error["input"]))):
        mantissa, exponent = power[1] if "." in power[1] else f"{power[1]}.0", int(power[2])
        return f"a number: YAML takes {error['input']} for a word; write {mantissa}e{exponent:+d}"
    if error["type"] in ("too_long", "too_short"):
        return f"{error['ctx'].get('max_length') or error['ctx']['min_length']} values"
    return WORDS.get(error["type"], str(error["msg"]).removeprefix("Input should be "))
