"""What the new images must satisfy, judged by Great Expectations on tables of facts. Home of GX.

Great Expectations sees numbers, labels and row numbers, never file names: its HTML pages do not escape
what they show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline.checking.quarantine import CONTRADICTED, EARLY
from pipeline.checking.settings import Validate

if TYPE_CHECKING:
    import polars as pl

Outcome = Literal["quarantine", "warn", "stop"]
"""What a failed expectation means: set the row aside, only say so, end the cycle."""

AGAIN = ", `dvc add` the batch and `dvc repro`"


@dataclass(frozen=True)
class Verdict:
    """One expectation and what Great Expectations found."""

    suite: str
    expectation: str
    """Its class in Great Expectations."""
    meaning: str
    column: str
    outcome: Outcome
    """What it means if it fails."""
    success: bool
    found: str
    """What was observed, or the first few unexpected values."""
    rows: tuple[int, ...]
    """Numbers of the rows that fail it; empty where it is about the whole table."""
    remedy: str


class Judge:
    """Great Expectations with its words for us; one for a whole stage, for setting it up takes a while."""

    def __init__(self) -> None:
        import logging

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        import great_expectations as gx

        self._gx = gx
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False}
        self.verdicts: list[Verdict] = []
        self.results: dict[str, Any] = {}
        """The full result of each suite, as JSON."""

    def check(self, suite: str, table: "pl.DataFrame", expectations: Sequence[Any]) -> list[Verdict]:
        """Judge a table; gives the expectations that fail. An empty table fails none.

        Args:
            suite: name, each used once.
            table: of facts.
            expectations: of one of the functions below.
        """
        if table.is_empty():  # a push that only removes or renames brings no images to judge
            return []
        batch = (
            self._context.data_sources.add_pandas(suite)
            .add_dataframe_asset(suite)
            .add_batch_definition_whole_dataframe(suite)
            .get_batch({"dataframe": table.with_row_index("row").to_pandas()})
        )
        result = batch.validate(
            self._gx.ExpectationSuite(suite, expectations=list(expectations)),
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]},
        )
        self.results[suite] = _stable(result.to_json_dict())
        found = [_verdict(suite, one.to_json_dict()) for one in result.results]
        self.verdicts += found
        return [verdict for verdict in found if not verdict.success]


def of_images(bounds: Validate) -> list[Any]:
    """Suite of the facts of each new image; columns readable, named, labelled, width, height, mode, num_labels."""
    from great_expectations import expectations as gxe

    side = {"min_value": bounds.min_side, "max_value": bounds.max_side}
    allowed = f"between {bounds.min_side} and {bounds.max_side} pixels (validate.min_side, validate.max_side)"
    true = {"value_set": [True]}
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="named",
            **true,
            meta=_meta("quarantine", "names are safe in a terminal and on a page", f"rename it{AGAIN}"),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="labelled",
            **true,
            meta=_meta("quarantine", "every image of a batch is named in its labels.csv", f"add its line{AGAIN}"),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="readable",
            **true,
            meta=_meta("quarantine", "every image can be decoded", f"export it again or remove it{AGAIN}"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="width", **side, meta=_meta("quarantine", f"widths are {allowed}", f"resize or remove it{AGAIN}")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="height", **side, meta=_meta("quarantine", f"heights are {allowed}", f"resize or remove it{AGAIN}")
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="mode",
            value_set=list(bounds.modes),
            meta=_meta(
                "quarantine",
                f"pixel modes are among {', '.join(bounds.modes)} (validate.modes)",
                f"export it as RGB or remove it{AGAIN}",
            ),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="num_labels",
            value_set=[1],
            meta=_meta(
                "quarantine",
                "copies of an image carry one label",
                CONTRADICTED,
            ),
        ),
    ]


def of_looks(bounds: Validate) -> list[Any]:
    """Suite of how the accepted images look; columns extension, brightness, contrast, sharpness, aspect, digest."""
    from great_expectations import expectations as gxe

    low, high = bounds.brightness
    look = "look at it"
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="extension",
            value_set=[True],
            meta=_meta("warn", "file names end as their contents are", "rename it; its content counts"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="brightness",
            min_value=low,
            max_value=high,
            meta=_meta("warn", f"brightness is between {low} and {high} (validate.brightness)", look),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="contrast",
            min_value=bounds.min_contrast,
            meta=_meta("warn", f"contrast is at least {bounds.min_contrast} (validate.min_contrast)", look),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="sharpness",
            min_value=bounds.min_sharpness,
            meta=_meta("warn", f"sharpness is at least {bounds.min_sharpness} (validate.min_sharpness)", look),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="aspect",
            max_value=bounds.max_aspect,
            meta=_meta("warn", f"sides are at most 1 : {bounds.max_aspect:g} (validate.max_aspect)", look),
        ),
        gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
            column="digest",
            min_value=round(1 - bounds.max_duplicates, 9),  # 1 - 0.7 is more than 0.3
            meta=_meta(
                "warn",
                f"at most {bounds.max_duplicates:.0%} of the images are copies of others (validate.max_duplicates)",
                "remove the copies; they count once",
            ),
        ),
    ]


def of_labels(bounds: Validate, known: Sequence[str]) -> list[Any]:
    """Suite of the labels that the data will have; columns label, total_if_new, total_if_known.

    Args:
        bounds: section `validate` of params.yaml.
        known: the parent's labels; empty for a first cycle.
    """
    from great_expectations import expectations as gxe

    enough = f"at least {bounds.min_images_per_label} images (validate.min_images_per_label)"
    suite = [
        gxe.ExpectColumnValuesToBeBetween(
            column="total_if_new",
            min_value=bounds.min_images_per_label,
            meta=_meta("quarantine", f"a new label has {enough}", EARLY),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="total_if_known",
            min_value=bounds.min_images_per_label,
            meta=_meta("warn", f"a known label keeps {enough}", "add images of it; the model goes on knowing it"),
        ),
    ]
    if known and bounds.new_labels == "listed":
        allowed = sorted({*known, *bounds.labels})
        suite.append(
            gxe.ExpectColumnValuesToBeInSet(
                column="label",
                value_set=allowed,
                meta=_meta(
                    "stop",
                    f"labels are known to the parent or listed in validate.labels: {', '.join(allowed)}",
                    f"rename the folder{AGAIN}; or list the new label in validate.labels in params.yaml (or set "
                    "validate.new_labels: allow); the model then gets an output for it; if a known label got this "
                    "name, say so in prepare.renamed_labels",
                ),
            )
        )
    return suite


def of_cycle(bounds: Validate, at_most: int) -> list[Any]:
    """Suite of the cycle as a whole, a table of one row; columns num_labels, imbalance, quarantined.

    Args:
        bounds: section `validate` of params.yaml.
        at_most: images that may be set aside.
    """
    from great_expectations import expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="quarantined",
            max_value=at_most,
            meta=_meta(
                "stop",
                f"at most {at_most} images are set aside (validate.max_quarantined, validate.max_quarantined_images)",
                f"mend or remove them{AGAIN}, or raise the limits in params.yaml",
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="num_labels",
            min_value=2,
            meta=_meta(
                "stop",
                "there are at least two labels",
                f"add images of another label, in a folder of its name{AGAIN}",
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="imbalance",
            max_value=bounds.max_imbalance,
            meta=_meta(
                "warn",
                f"the largest label has at most {bounds.max_imbalance:g} times the images of the smallest "
                "(validate.max_imbalance)",
                "add images of the smallest",
            ),
        ),
    ]


def of_drift(bounds: Validate) -> list[Any]:
    """Suite of the distances of the new images from the parent's; columns fact, distance."""
    from great_expectations import expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="distance",
            max_value=bounds.max_drift,
            meta=_meta(
                "warn",
                f"the new images are within {bounds.max_drift} of those before (validate.max_drift)",
                "look at the contact sheet: is it the same camera, the same task?",
            ),
        )
    ]


def _meta(outcome: Outcome, meaning: str, remedy: str) -> dict[str, str]:
    return {"outcome": outcome, "meaning": meaning, "remedy": remedy}


def _verdict(suite: str, result: dict[str, Any]) -> Verdict:
    config, details = result["expectation_config"], result["result"]
    # Flat where all went well, else one such entry for each metric that failed.
    if result["exception_info"].get("raised_exception", True):
        raise RuntimeError(f"Great Expectations could not judge {suite}: {result['exception_info']}")
    found = details.get("observed_value")
    if found is None:
        unexpected = details.get("unexpected_list") or []
        # That something is not as it should be, the meaning says already.
        values = {f"{v:.6g}" if isinstance(v, float) else str(v) for v in unexpected if not isinstance(v, bool)}
        found = ", ".join(sorted(values)[:5])
    elif "proportion_of_unique" in config["type"]:
        found = f"{1 - found:.1%} copies"
    elif isinstance(found, float):
        found = f"{found:.3g}"
    return Verdict(
        suite=suite,
        expectation="".join(part.title() for part in config["type"].split("_")),
        meaning=config["meta"]["meaning"],
        column=config["kwargs"].get("column", ""),
        outcome=config["meta"]["outcome"],
        success=bool(result["success"]),
        found=str(found),
        rows=tuple(sorted({int(row["row"]) for row in details.get("unexpected_index_list") or []})),
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
