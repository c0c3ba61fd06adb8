"""What Great Expectations finds in a table of facts. Home of Great Expectations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.checking.expectations import Expectation

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Finding:
    """What Great Expectations said about one expectation."""

    suite: str
    expectation: Expectation
    success: bool
    observed: str
    """What the table has, or the first few values that are not as expected."""
    rows: tuple[int, ...]
    """Numbers of the rows that fail it; empty where it is about the whole table."""


class Judge:
    """Great Expectations, set up once for all tables of a stage: that takes a while."""

    def __init__(self) -> None:
        import logging

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        import great_expectations as gx

        self._gx = gx
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False}
        self.findings: list[Finding] = []
        """Of all tables so far, those that are as expected too."""
        self.results: dict[str, Any] = {}
        """Great Expectations' own result for each suite, as JSON."""

    def check(self, suite: str, table: "pl.DataFrame", expectations: Sequence[Expectation]) -> list[Finding]:
        """Judge a table; gives the expectations that fail. An empty table fails none.

        Args:
            suite: name, each used once.
            table: of facts.
            expectations: of one of the functions in `expectations`.
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
            self._gx.ExpectationSuite(suite, expectations=[self._made(one) for one in expectations]),
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]},
        )
        self.results[suite] = _stable(result.to_json_dict())
        asked = {(one.kind, one.column): one for one in expectations}
        findings = [_finding(suite, asked, one.to_json_dict()) for one in result.results]
        self.findings += findings
        return [finding for finding in findings if not finding.success]

    def _made(self, expectation: Expectation) -> Any:
        """As an object of Great Expectations."""
        kind = getattr(self._gx.expectations, expectation.kind)
        meta = {
            "outcome": expectation.consequence,
            "meaning": expectation.meaning,
            "remedy": expectation.remedy.words(),
        }
        return kind(column=expectation.column, **expectation.limits, meta=meta)


def _finding(suite: str, asked: dict[tuple[str, str], Expectation], result: dict[str, Any]) -> Finding:
    config, details = result["expectation_config"], result["result"]
    # Flat where all went well, else one such entry for each metric that failed.
    if result["exception_info"].get("raised_exception", True):
        raise RuntimeError(f"Great Expectations could not judge {suite}: {result['exception_info']}")
    kind = "".join(part.title() for part in config["type"].split("_"))
    return Finding(
        suite=suite,
        expectation=asked[kind, config["kwargs"]["column"]],
        success=bool(result["success"]),
        observed=_observed(config["type"], details),
        rows=tuple(sorted({int(row["row"]) for row in details.get("unexpected_index_list") or []})),
    )


def _observed(kind: str, details: dict[str, Any]) -> str:
    """Words for what the table has: a number of it as a whole, or up to five values that are not as expected."""
    value = details.get("observed_value")
    if value is None:
        unexpected = details.get("unexpected_list") or []
        # That something is not as it should be, the meaning says already.
        values = {f"{v:.6g}" if isinstance(v, float) else str(v) for v in unexpected if not isinstance(v, bool)}
        return ", ".join(sorted(values)[:5])
    if "proportion_of_unique" in kind:
        return f"{1 - value:.1%} copies"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return str(value)


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
    ours = {"meaning", "remedy"}  # what `meta` of an expectation has, and no other `meta`

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: strip(item)
                for name, item in value.items()
                if name not in volatile or (name == "meta" and isinstance(item, dict) and ours <= item.keys())
            }
        return [strip(item) for item in value] if isinstance(value, list) else value

    stripped: dict[str, Any] = strip(report)
    return stripped
