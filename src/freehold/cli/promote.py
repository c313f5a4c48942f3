"""`freehold promote`: make a version the one that customers get, at once or step by step."""

from __future__ import annotations

from typing import Any

import click

from freehold.cli.common import Output, project_of, require_effect, verb

_OF_CANARY = ("by", "min_answers", "max_error_rate", "max_latency_factor")


@click.command("promote")
@click.argument("model")
@click.option("--shadow", is_flag=True, help="Only beside the live one: compared, not returned.")
@click.option("--canary", metavar="SHARE", help="Answer this share of the traffic: 10% or 0.1.")
@click.option("--canary-customers", metavar="A,B", help="Answer these customers (names or ids).")
@click.option(
    "--by",
    type=click.Choice(["customer", "key", "request"]),
    help="What the share is of; customers and keys keep their side.",
)
@click.option(
    "--min-answers", type=click.IntRange(20), help="Answers before latencies are compared."
)
@click.option(
    "--max-error-rate", type=click.FloatRange(0, 1), help="Above it, it is taken back; 1: never."
)
@click.option(
    "--max-latency-factor",
    type=click.FloatRange(0),
    help="So many times slower than live, it is taken back; 0: never.",
)
@click.option("--reason", help="Why, for the record.")
@verb
def command(
    output: Output,
    model: str,
    shadow: bool,
    canary: str | None,
    canary_customers: str | None,
    by: str | None,
    reason: str | None,
    **bounds: Any,
) -> None:
    """Make MODEL (bank@2; without a number its newest version) live; the former one retires.

    With --shadow or --canary it is tried beside the live version first; running servers follow
    within seconds.
    """
    from freehold.app import open_app
    from freehold.app.release import begin_canary, begin_shadow, rule_of

    partly = canary is not None or canary_customers is not None
    if shadow and partly:
        raise click.UsageError("--shadow and --canary exclude each other: one after the other.")
    if not partly:
        require_effect(_OF_CANARY, "goes with --canary or --canary-customers.")
    names = [name.strip() for name in (canary_customers or "").split(",") if name.strip()]
    if canary_customers is not None and not names:
        raise click.UsageError("--canary-customers names nobody.")
    with open_app(project_of(output)) as app:
        if shadow:
            trial = begin_shadow(app, model, reason)
        elif partly:
            rule = rule_of(app, **bounds)
            trial = begin_canary(
                app, model, share=canary, customers=names, by=by, rule=rule, why=reason
            )
        else:
            version = app.registry.promote(model, reason)
            output.document(
                {"model": version.model, "version": version.version, "stage": version.stage}
            )
            output.show(f"{version.name} is live; running servers take it within seconds.")
            return
    output.document({**trial.document(), "stage": trial.kind})
    if trial.kind == "shadow":
        output.show(f"{trial.name} runs in the shadow of {trial.model}@{trial.against}.")
    else:
        output.show(
            f"{trial.name} answers {trial.terms.sentence()}, "
            f"{trial.model}@{trial.against} the rest."
        )
    output.show(f"`freehold release status {trial.model}` shows how it goes.")
