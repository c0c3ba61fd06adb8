"""What the new images must satisfy, judged by Great Expectations on tables of facts. Home of GX.

Great Expectations sees digests, labels and numbers, never file names: its HTML pages do not escape
what they show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.params import Validate

if TYPE_CHECKING:
    import pandas as pd

AGAIN = ", `dvc add` the batch and `dvc repro`"


@dataclass(frozen=True)
class Failure:
    """A failed expectation."""

    expectation: str
    """Its class in Great Expectations."""
    meaning: str
    column: str
    found: str
    digests: tuple[str, ...]
    """The images that fail it; empty where it is about the whole table."""
    labels: tuple[str, ...]
    """The labels that fail it, where it is about labels."""
    remedy: str


@dataclass(frozen=True)
class Result:
    """What Great Expectations said: failures in the order of the suites, and its full JSON."""

    failures: tuple[Failure, ...]
    num_expectations: int
    report: dict[str, Any]


def check(images: "pd.DataFrame", labels: "pd.DataFrame", known: Sequence[str], bounds: Validate) -> Result:
    """Judge the new images and the labels that the data will then have.

    Args:
        images: one row per new path; columns digest, label, readable, width, height, mode,
            num_labels (different labels among the copies of this image).
        labels: one row per label, old and new; columns label, total (images).
        known: the parent's labels; empty for a first cycle.
        bounds: section `validate` of params.yaml.
    """
    import logging

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    suites = {"images": (images, _of_images(known, bounds)), "labels": (labels, _of_labels(bounds))}
    failures: list[Failure] = []
    report: dict[str, Any] = {}
    count = 0
    for name, (table, expectations) in suites.items():
        if table.empty:  # a push that only removes or renames brings no images to judge
            continue
        batch = (
            context.data_sources.add_pandas(name)
            .add_dataframe_asset(name)
            .add_batch_definition_whole_dataframe(name)
            .get_batch({"dataframe": table})
        )
        suite = gx.ExpectationSuite(name, expectations=expectations)
        key = "digest" if name == "images" else "label"
        result = batch.validate(
            suite,
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [key]},
        )
        report[name] = _stable(result.to_json_dict())
        count += len(expectations)
        failures += [_failure(one.to_json_dict(), key) for one in result.results if not one.success]
    return Result(tuple(failures), count, report)


def _of_images(known: Sequence[str], bounds: Validate) -> list[Any]:
    from great_expectations import expectations as gxe

    side = {"min_value": bounds.min_side, "max_value": bounds.max_side}
    allowed = f"between {bounds.min_side} and {bounds.max_side} pixels (validate.min_side, validate.max_side)"
    suite = [
        gxe.ExpectColumnValuesToBeInSet(
            column="readable",
            value_set=[True],
            meta=_meta("every image can be decoded", f"export it again or remove it{AGAIN}"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="width", **side, meta=_meta(f"widths are {allowed}", f"resize or remove it{AGAIN}")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="height", **side, meta=_meta(f"heights are {allowed}", f"resize or remove it{AGAIN}")
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="mode",
            value_set=list(bounds.modes),
            meta=_meta(
                f"pixel modes are among {', '.join(bounds.modes)} (validate.modes)",
                f"export it as RGB or remove it{AGAIN}",
            ),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="num_labels",
            value_set=[1],
            meta=_meta(
                "copies of an image carry one label",
                f"keep the copy with the right label, remove the others{AGAIN}",
            ),
        ),
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
            column="digest",
            min_value=round(1 - bounds.max_duplicates, 9),  # 1 - 0.7 is more than 0.3
            meta=_meta(
                f"at most {bounds.max_duplicates:.0%} of the images are copies of others (validate.max_duplicates)",
                f"remove the copies{AGAIN}, or raise the limit in params.yaml",
            ),
        ),
    ]
    if known and bounds.new_labels == "refuse":
        suite.append(
            gxe.ExpectColumnValuesToBeInSet(
                column="label",
                value_set=sorted(known),
                meta=_meta(
                    f"labels are known to the parent: {', '.join(sorted(known))}",
                    f"rename the folder{AGAIN}; or set validate.new_labels: allow and, for this one cycle, "
                    "train.start: cold in params.yaml",
                ),
            )
        )
    return suite


def _of_labels(bounds: Validate) -> list[Any]:
    from great_expectations import expectations as gxe

    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=2,
            meta=_meta(
                "there are at least two labels",
                f"add images of another label, in a folder of its name{AGAIN}",
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="total",
            min_value=bounds.min_images_per_label,
            meta=_meta(
                f"each label has at least {bounds.min_images_per_label} images (validate.min_images_per_label)",
                f"add images of this label{AGAIN}, or lower the limit in params.yaml",
            ),
        ),
    ]


def _meta(meaning: str, remedy: str) -> dict[str, str]:
    return {"meaning": meaning, "remedy": remedy}


def _failure(result: Mapping[str, Any], key: str) -> Failure:
    config, details = result["expectation_config"], result["result"]
    keys = tuple(sorted({str(row[key]) for row in details.get("unexpected_index_list") or []}))
    found = details.get("observed_value")
    if found is None:
        found = ", ".join(sorted({str(value) for value in details.get("unexpected_list", [])})[:5])
    elif isinstance(found, float):
        found = f"{found:.3g}"
    return Failure(
        expectation="".join(part.title() for part in config["type"].split("_")),
        meaning=config["meta"]["meaning"],
        column=config["kwargs"].get("column", ""),
        found=str(found),
        digests=keys if key == "digest" else (),
        labels=keys if key == "label" else (),
        remedy=config["meta"]["remedy"],
    )


def _stable(report: dict[str, Any]) -> dict[str, Any]:
    """Without run times and generated ids, so that the same images give the same bytes."""
    volatile = {
        "id",
        "meta",
        "batch_id",
        "active_batch_id",
        "run_id",
        "validation_time",
        "batch_markers",
    }
    kept = {"meaning", "remedy"}

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: strip(item)
                for name, item in value.items()
                if name not in volatile or (name == "meta" and isinstance(item, dict) and kept <= item.keys())
            }
        return [strip(item) for item in value] if isinstance(value, list) else value

    stripped: dict[str, Any] = strip(report)
    return stripped
