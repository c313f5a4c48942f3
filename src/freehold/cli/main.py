"""The `freehold` command: verbs are loaded when they are called, so that --help answers at once."""

from __future__ import annotations

import importlib

import click

from freehold import __version__

__all__ = ["main"]

# verb -> (module, one line of help), in the order of the way through the house.
VERBS = {
    "new": ("new", "Make a project folder with freehold.toml and sample data."),
    "demo": ("demo", "The whole loop on a hand-written sample, in a few minutes."),
    "data": ("data", "Look at labelled files before learning from them."),
    "pretrain": ("pretrain", "Go on with a checkpoint on unlabelled texts."),
    "train": ("train", "Fine-tune an encoder on labelled texts; registers a version."),
    "distill": ("distill", "Train a small student to answer as a version does."),
    "ladder": ("ladder", "From TF-IDF to a distilled model: which rung pays."),
    "search": ("search", "Try recipes within a budget; registers the best as a version."),
    "evaluate": ("evaluate", "Score a version honestly, with intervals."),
    "attack": ("attack", "What typing slips and synonyms do to a version's answers."),
    "models": ("models", "List versions and their stages."),
    "card": ("card", "A version's model card: what it is, scores, cost, cannot do."),
    "export": ("export", "Make a bundle that serves without torch."),
    "predict": ("predict", "Label a file of texts with a version."),
    "promote": ("promote", "Make a version the one that customers get, at once or by steps."),
    "release": ("release", "How shadows and canaries go; versions that stay loaded."),
    "rollback": ("rollback", "Take a canary back, or go back to what was live before."),
    "customer": ("customer", "Add and list customers."),
    "key": ("key", "Add, rotate, list and revoke API keys."),
    "limit": ("limit", "Set and show rate limits and quotas of a customer or key."),
    "wallet": ("wallet", "Top up and show a customer's prepaid units."),
    "serve": ("serve", "Serve the live versions as an HTTP API."),
    "capacity": ("capacity", "How many machines a traffic needs, and what they cost."),
    "invoice": ("invoice", "Close a period, list and write invoices."),
    "report": ("report", "Which version, customer and plan earns its keep."),
    "reconcile": ("reconcile", "Prove that served = metered = rated = invoiced = ledger."),
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = importlib.import_module(f"freehold.cli.{VERBS[name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="freehold")
def main() -> None:
    """From a file of labelled texts to a paid answer and its margin."""
