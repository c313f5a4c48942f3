"""freehold.toml -> a typed, frozen Project; every mistake names its line and the fix."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from freehold.errors import NotFoundError
from freehold.settings import setting

__all__ = [
    "SECTIONS",
    "Billing",
    "Business",
    "Costs",
    "DataFiles",
    "PlanTerms",
    "Project",
    "Release",
    "Serve",
    "TaskSection",
    "Tier",
    "Train",
    "find_project",
]

FILE_NAME = "freehold.toml"
STATE_FOLDER = ".freehold"


@dataclass(frozen=True, slots=True)
class Business:
    value_proposition: str = setting(
        "", "What customers get that they cannot easily get elsewhere."
    )
    segments: tuple[str, ...] = setting((), "Who the customers are.")
    channels: tuple[str, ...] = setting((), "How they are reached.")
    partners: tuple[str, ...] = setting((), "Who helps to reach or serve them.")
    competitors: tuple[str, ...] = setting((), "What they would use instead.")
    position: str = setting("", "Why they choose this over a competitor, in a sentence.")


@dataclass(frozen=True, slots=True)
class TaskSection:
    kind: str = setting("text-classification", "What the model does; docs/tasks.md has the tasks.")
    model: str = setting(
        "", "The model's name in the registry and in URLs; empty: the project's name."
    )


@dataclass(frozen=True, slots=True)
class DataFiles:
    train: str = setting(
        "data/train.csv", "Labelled texts to learn from, relative to freehold.toml."
    )
    dev: str = setting("data/dev.csv", "Labelled texts kept aside to choose and calibrate by.")
    test: str = setting("", "Labelled texts that nothing is chosen by; empty: none.")
    text: str = setting("", "The column with the text (or the words); empty: inferred and shown.")
    label: str = setting("", "The column with the label (or the tags); empty: inferred and shown.")


@dataclass(frozen=True, slots=True)
class Train:
    base: str = setting(
        "minilm",
        "Encoder to start from: minilm, a folder (relative to freehold.toml), a model hub's id, or "
        "MODEL@V.",
    )
    epochs: int = setting(0, "Passes over the training data at most; 0: chosen by task and size.")
    learning_rate: float = setting(0.0, "Peak learning rate; 0: chosen by task.")
    batch_tokens: int = setting(0, "Tokens in a batch, padding included; 0: the recipe's default.")
    max_length: int = setting(128, "Tokens of a text that the model reads; the rest is cut off.")
    encoder_dropout: float = setting(
        0.0, "Dropout inside the encoder; 0.1 pays where a small set is seen many times."
    )
    class_weights: str = setting("none", "none, or balanced: rare labels weigh more in the loss.")
    label_smoothing: float = setting(0.0, "Share of each target spread over all labels.")
    layer_decay: float = setting(
        1.0, "Learning rate of each layer as a share of the one above it; 1: the same in all."
    )
    freeze_layers: int = setting(
        0, "So many first layers, and the embeddings, stay as they are; 0: everything learns."
    )
    lora_rank: int = setting(0, "Rank of LoRA's updates beside frozen matrices; 0: no LoRA.")
    lora_scale: float = setting(2.0, "Factor on LoRA's updates (its alpha over its rank).")
    lora_modules: str = setting(
        "all", "Matrices that LoRA updates: all of each layer, or attention."
    )
    adversarial: str = setting(
        "none", "Training on harder inputs: none, fgm, pgd, freelb, rdrop or copies."
    )
    adversarial_steps: int = setting(
        3, "Uphill steps of pgd, passes over each batch of freelb, copies tried of copies."
    )
    adversarial_size: float = setting(
        0.05, "How far word vectors are moved, as a share of the length of the text's own."
    )
    adversarial_weight: float = setting(
        1.0,
        "Weight of the harder batch (fgm, pgd, copies), or of the agreement (rdrop).",
    )
    augment: float = setting(
        0.0, "Copies of each training text with typing slips and synonyms; 0 for none."
    )
    casing: str = setting(
        "auto",
        "on, off or auto: each word's capitals beside it, for tags with encoders that fold case.",
    )
    skip_known: float = setting(
        0.0, "Share of what the model knows already left out of each later epoch; 0: none."
    )
    patience: int = setting(0, "Epochs without a better dev score before stopping; 0: the default.")
    precision: str = setting("auto", "auto (bf16 where the hardware has it), fp32 or bf16.")
    seed: int = setting(0, "Seed of everything random.")
    threads: int = setting(
        0, "CPU threads of training, evaluation and attacks; 0: one a physical core."
    )
    ray_address: str = setting("", "Ray cluster of --runner ray; empty: a local one.")
    tracking_uri: str = setting(
        "", "MLflow store that runs are logged to, such as sqlite:///runs.db; empty: none."
    )


@dataclass(frozen=True, slots=True)
class Serve:
    host: str = setting("127.0.0.1", "Address to listen on; 0.0.0.0 opens it to the network.")
    port: int = setting(8080, "TCP port; 0 takes a free one.")
    workers: int = setting(1, "Processes that share the port and the threads.")
    threads: int = setting(0, "Threads of the engine; 0: as measured best at export.")
    batch_tokens: int = setting(4096, "Most tokens in one batch, padding included.")
    queue_tokens: int = setting(65536, "Most tokens that wait; beyond that a request gets a 429.")
    queue_bytes: int = setting(
        67_108_864, "Most bytes of bodies that wait; beyond that a request gets a 429."
    )
    cache_mb: int = setting(
        0, "Megabytes of answers that are kept for when the same text is asked again; 0: none."
    )
    timeout_ms: int = setting(
        0, "Time in which a request has to begin that sends no X-Timeout-Ms; 0: no limit."
    )
    max_timeout_ms: int = setting(0, "Most that X-Timeout-Ms may allow; 0: no limit.")
    max_inputs: int = setting(256, "Most inputs in one request.")
    max_body_bytes: int = setting(1_048_576, "Largest request body; beyond that a 413.")
    max_connections: int = setting(1000, "Most connections at once; beyond that a 503.")
    receive_seconds: int = setting(
        30, "Time in which a request has to arrive whole once it has begun; else a 408."
    )
    batch_max_bytes: int = setting(104_857_600, "Largest file of a batch; beyond that a 413.")
    batch_max_lines: int = setting(100_000, "Most lines in one batch; beyond that a 413.")
    batch_max_open: int = setting(20, "Most batches of a customer that are not over.")
    batch_keep_days: int = setting(7, "Days after a batch's end until its results are removed.")
    drain_seconds: int = setting(30, "How long a stopping server finishes what it has begun.")
    replicas: int = setting(1, "Replicas of --on ray: always, or at least.")
    max_replicas: int = setting(0, "Replicas of --on ray under load; 0: no more than replicas.")
    replica_requests: int = setting(
        32, "Requests waiting or in work for each replica, above which there will be one more."
    )
    ray_address: str = setting("", "Ray cluster of --on ray; empty: a local one.")
    follow_seconds: float = setting(
        2.0, "How often a server looks for versions that were promoted, tried or taken back."
    )


@dataclass(frozen=True, slots=True)
class Release:
    canary_by: str = setting(
        "customer",
        "What a canary's share is of: customer or key (each keeps its side), or request.",
    )
    shadow_share: float = setting(1.0, "Share of the requests that a shadow is given, too.")
    min_answers: int = setting(
        200, "Answers of a canary and of the live version before their latencies are compared."
    )
    max_error_rate: float = setting(
        0.02, "Error rate above which a canary is taken back by itself; 1: never."
    )
    max_latency_factor: float = setting(
        2.0, "A canary so many times as slow as the live version is taken back; 0: never."
    )
    latency_quantile: float = setting(0.95, "Of the latencies that are compared, 0.5 to 0.999.")


@dataclass(frozen=True, slots=True)
class Costs:
    machine_per_hour: Decimal = setting(
        Decimal("0.10"), "What an hour of this machine costs, in the project's currency."
    )
    label_each: Decimal = setting(Decimal("0"), "What labelling one training example cost.")
    fixed_per_month: Decimal = setting(Decimal("0"), "Costs of a month that do not depend on use.")
    lifetime_inputs: int = setting(
        1_000_000,
        "Inputs over which a version's training and labelling is spread; "
        "once a version has served more, over what it has served.",
    )


@dataclass(frozen=True, slots=True)
class Billing:
    seller: str = setting("", "Your name and address on invoices; empty: the project's name.")
    tax_rate: Decimal = setting(Decimal("0"), 'Tax on invoices as a share: "0.19" is 19 %.')
    tax_name: str = setting("VAT", "What the tax is called on invoices.")
    invoice_prefix: str = setting("INV", "What invoice numbers begin with.")


@dataclass(frozen=True, slots=True)
class Tier:
    """Units up to and including `up_to` (None: no limit) cost `price` each."""

    up_to: int | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """A plan: a monthly base fee with included units, then a price per unit, flat or graduated."""

    name: str = setting("", "The plan's name.")
    fee: Decimal = setting(Decimal("0"), "Base fee of a calendar month.")
    prorate: bool = setting(True, "Whether the first month's fee is by days from the start.")
    unit: str = setting("inputs", "What is counted: inputs or tokens.")
    included: int = setting(0, "Units of a month that the base fee covers.")
    price: Decimal = setting(Decimal("0"), "Price of each unit beyond the included ones.")
    tiers: tuple[Tier, ...] = setting(
        (), "Graduated prices instead of `price`, counted after the included units."
    )
    prepaid: bool = setting(
        False,
        "Whether units are paid before use (`freehold wallet topup`), so without a price.",
    )
    requests_per_minute: int = setting(
        0, "Most requests of a customer in a minute, as a bucket that refills evenly; 0: any."
    )
    tokens_per_minute: int = setting(
        0, "Most tokens of a customer in a minute, as a bucket that refills evenly; 0: any."
    )
    cached: Decimal = setting(
        Decimal("1"),
        "Price of a unit that the answer cache gave, as a share of `price` (or the first tier's), "
        "beside the included units; 1: counted like any other, 0: free.",
    )
    quota: int = setting(0, "Most units of a customer in a calendar month (UTC); 0: any.")


@dataclass(frozen=True, slots=True)
class Project:
    """A venture as freehold.toml describes it; `root` is the folder of that file."""

    root: Path
    name: str
    currency: str = "EUR"
    language: str = "en"
    business: Business = Business()
    task: TaskSection = TaskSection()
    data: DataFiles = DataFiles()
    train: Train = Train()
    serve: Serve = Serve()
    release: Release = Release()
    costs: Costs = Costs()
    billing: Billing = Billing()
    plans: tuple[PlanTerms, ...] = ()

    @property
    def model(self) -> str:
        """The name of the project's model in the registry and in URLs."""
        return self.task.model or self.name

    @property
    def state(self) -> Path:
        """The folder with the database and the blobs."""
        return self.root / STATE_FOLDER

    def plan(self, name: str) -> PlanTerms:
        for plan in self.plans:
            if plan.name == name:
                return plan
        names = ", ".join(plan.name for plan in self.plans) or "none yet"
        raise NotFoundError(
            f"There is no plan {name!r} in {FILE_NAME}; plans: {names}.",
            hint="Add a [[plans]] table with that name, or choose another plan.",
        )


@dataclass(frozen=True, slots=True)
class ProjectHead:
    name: str = setting("", "The venture's name: a letter, then letters, digits, - or _.")
    currency: str = setting("EUR", "ISO 4217 code of every amount in the project.")
    language: str = setting("en", "Language of the texts and the invoices: en or zh.")


SECTIONS: dict[str, type] = {
    "project": ProjectHead,
    "business": Business,
    "task": TaskSection,
    "data": DataFiles,
    "train": Train,
    "serve": Serve,
    "release": Release,
    "costs": Costs,
    "billing": Billing,
    "plans": PlanTerms,
}


def find_project(start: Path) -> Path:
    """The freehold.toml in `start` or the nearest folder above it."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise NotFoundError(
        f"There is no {FILE_NAME} in {start} or above it.",
        hint="Make a project with `freehold new NAME`, or name its folder with --project.",
    )
