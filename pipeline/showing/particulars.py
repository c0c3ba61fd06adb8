"""Particulars of a card: the data, training and cost, where it comes from, and what the holdout cannot tell. Pure."""

from collections.abc import Iterator

from pipeline.artifacts.comparison import ModelComparison
from pipeline.base.words import capital, counted
from pipeline.learning import ladder
from pipeline.showing import wording
from pipeline.showing.addresses import Addresses, link, version
from pipeline.showing.markdown import FEW, NAME, escape, few, listed, name
from pipeline.showing.review import Review
from pipeline.showing.text import middle

MAX_REMARK = 150
"""Characters of a remark."""

REPORT = "report.html"
"""Run artifact: the page of the cycle."""


def data(review: Review, addresses: Addresses | None) -> str:
    """What came and went since the parent."""
    changes, training = review.changes, review.training
    said = list(_came(review))
    counts = (("tried again", changes.retried), ("removed", changes.removed), ("relabelled", changes.relabelled))
    said += [f"{count:,} {what}" for what, count in (*counts, ("renamed", changes.renamed)) if count]
    if new := review.comparison.new_labels:
        said.append(f"new {'label' if len(new) == 1 else 'labels'} {few([name(one) for one in new])}")
    said += [*_label_changes(review), *_drift(review), f"{counted(training.num_images, 'image')} in all"]
    since = f"since v{training.parent}" if training.parent else "of this first cycle"
    page = link("The report shows them", REPORT, addresses)
    return f"**Data {since}**: {'; '.join(said)}.{page}"


def _came(review: Review) -> Iterator[str]:
    by_batch = review.changes.added_by_batch
    batches = [f"{name(path.removeprefix('data/images/'))} ({count:,})" for path, count in by_batch.items()]
    if batches:
        yield f"{'batch' if len(batches) == 1 else 'batches'} {few(batches, 'batch', 'batches')}"
    elif review.changes.added:
        yield f"{counted(review.changes.added, 'image')} came"


def _label_changes(review: Review) -> Iterator[str]:
    """Which labels are called otherwise, or gone, by request."""
    prepare = review.lineage.params.get("prepare", {}) if review.lineage else {}
    renamed = [f"{name(old)} is called {name(new)}" for old, new in prepare.get("renamed_labels", {}).items()]
    removed = [f"{name(label)} is removed" for label in prepare.get("removed_labels", ())]
    yield from (few(some, "label") for some in (renamed, removed) if some)


def _drift(review: Review) -> Iterator[str]:
    """How far the new images are from those before: by what is in them, and by the facts that warn."""
    content, report = review.content, review.report
    if content is not None and content.distance is not None:
        far = "far from those before" if content.is_far else "like those before"
        limit = f"{content.distance:.2f}, it warns above {content.max_distance:g}"
        yield f"by what is in them the new images are {far} ({limit})"
    drifted = [f"{escape(fact)} {value:.2f}" for fact, value in report.drift.items() if value > report.max_drift]
    if drifted:
        yield f"drift by {few(drifted, 'fact')} (it warns above {report.max_drift:g})"


def aside(review: Review) -> str:
    """What was set aside, warned of and is unusual, the first few of each."""
    report = review.report
    kinds = (
        ("set aside", [f"{middle(one.path, 2 * NAME)}: {one.reason}" for one in report.quarantined]),
        ("warned of", list(report.warnings)),
        ("unusual", [f"{middle(one.path, 2 * NAME)}: {one.said}" for one in review.unusual]),
    )
    lines = []
    for title, remarks in kinds:
        shown = [escape(middle(one, MAX_REMARK)) for one in remarks]
        more = f"; and {len(shown) - FEW:,} more" if len(shown) > FEW else ""
        lines += [f"**{len(shown):,} {title}**: {'; '.join(shown[:FEW])}{more}."] if shown else []
    return "\n\n".join(lines)


def training(review: Review) -> str:
    """How training started and ended, and what of it is served."""
    done = review.training
    kept = "chosen by a person" if done.is_chosen else "the best"
    first, best = done.history[0], done.best
    said = [f"**Training**: {done.start} start, {escape(done.start_reason)}."]
    if done.is_scratch_kept:
        said.append("An audit trained a model from scratch, which is kept: this is about it.")
    said.append(
        f"{escape(capital(done.ended))}; epoch {done.best_epoch} of {done.epochs} is {kept}: validation loss "
        f"{first['val_loss']:.3f} before, {best['val_loss']:.3f} then."
    )
    if done.blended:
        what = {0.0: "what its parent serves", 1.0: "the result alone"}.get(
            done.share, f"a mixture of the parent's weights and {done.share:.0%} of the result"
        )
        losses = {mixture.share: mixture.val_loss for mixture in done.blended}
        loss = f": validation loss {losses[done.share]:.3f}" if done.share in losses else ""
        said.append(f"It serves {what}{loss}.")
    if done.audit:
        rung = ladder.RUNGS[done.ladder.after.rung]
        said.append(f"**Audit against training from scratch**: {escape(ladder.finding(done.audit))}.")
        said.append(f"The next cycle makes a {rung} start.")
    return " ".join(said)


def cost(review: Review) -> str:
    """Time, passes, money; what the audit's share was, and what scratch would have cost."""
    audit = review.training.audit
    of_it = f"; {audit.passes - audit.passes_before:,.0f} of the passes in the audit" if audit else ""
    return f"**Cost**: {escape(wording.cost(review))}{of_it}. An image that only passes forward counts as a third."


def origin(review: Review, addresses: Addresses | None) -> str:
    """What it was made from, and what it was judged against."""
    lineage = review.lineage
    if lineage is None:
        return ""
    parent, champion, anchor = lineage.parent, lineage.champion, lineage.anchor
    against = [f"{version(champion, addresses)}, the champion then"] if champion else []
    against += [f"{version(anchor, addresses)}, the best until then"] if anchor and anchor != champion else []
    said = []
    if parent and parent == champion:
        said.append(f"trained from and judged against {against[0]}")
        said += [f"judged against {one} too" for one in against[1:]]
    else:
        said += [f"trained from {version(parent, addresses)}, its parent"] if parent else ["started without a parent"]
        said += [f"judged against {listed(against)}"] if against else []
    said += [f"[its run]({addresses.run})"] if addresses else []
    changed = " with uncommitted changes" if lineage.commit.endswith("+") else ""
    said.append(f"judged at commit {escape(lineage.commit[:12].rstrip('+') or 'none')}{changed}")
    return f"**From**: {'; '.join(said)}."


def limits(comparison: ModelComparison) -> str:
    """What the holdout cannot tell."""
    images, said = counted(comparison.holdout_images, "holdout image"), []
    if (error := wording.margin_of_error(comparison)) is None:
        said.append(images)
    else:
        said.append(f"with {images} a change of less than {100 * error:.1f} points may be chance")
    small = [f"{name(one.label)} ({one.images})" for one in comparison.labels if one.finding == "too few"]
    if small:
        said.append(f"too few images to tell a fall: {few(small, 'label')}")
    if none := [name(one.label) for one in comparison.labels if not one.images]:
        said.append(f"no holdout image at all: {few(none, 'label')}")
    if comparison.new_labels:
        new = few([name(one) for one in comparison.new_labels], "label")
        said.append(f"v{comparison.champion} does not know {new}, so nothing is compared there")
    return f"**Limits**: {'; '.join(said)}."
