"""What the savings of training, evaluation and writing are worth: each on and off, in turns, in one process.

    python -m tests.savings                       # all at base size, some minutes of two cores
    python -m tests.savings exact captions        # some of them

Weights are random, images are noise. "Off" is the code with the saving patched out, as ``test_exact_savings`` does it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

import torch

from bus_toolkit import build_model, load_config
from bus_toolkit.analysis.benchmark.groups import make_groups
from bus_toolkit.analysis.benchmark.timing import ratios, take_turns
from bus_toolkit.analysis.benchmark.workload import Workload, made_up_batch, releasing
from bus_toolkit.evaluation.retrieval.image_tokens import ImageTokens
from bus_toolkit.evaluation.retrieval.pair_scoring import EncodedTexts, score_pairs
from bus_toolkit.heads.prefix_lm import PrefixLMHead
from bus_toolkit.step import parts
from bus_toolkit.structures import TokenBatch, VisualTokens
from bus_toolkit.text_decoders.generate import SearchRules, generate

CPU = torch.device("cpu")
Runs = Mapping[str, Callable[[], Any]]


@contextmanager
def without_savings() -> Iterator[None]:
    """Compute in a step what no loss reads."""
    from tests.models.test_exact_savings import whole_beginnings

    with (
        patch.object(PrefixLMHead, "hide", whole_beginnings),
        patch.object(TokenBatch, "before_last", lambda tokens: tokens),
        patch.object(parts, "_takes_first_only", lambda forward: False),
        patch.object(VisualTokens, "paired", VisualTokens.index),
    ):
        yield


def off(run: Callable[[], Any]) -> Callable[[], Any]:
    """Return the same work without the savings."""

    def whole() -> Any:
        with without_savings():
            return run()

    return whole


def show(
    title: str, runs: Runs, rounds: int, pairs: Sequence[tuple[str, str]], unit: tuple[float, str] = (1.0, "s")
) -> None:
    """Print medians, and ratios within a round: ``pairs`` names what is compared with what."""
    times = take_turns(runs, rounds, CPU)
    factor, name = unit
    print(f"{title}: " + ", ".join(f"{one} {median(times[one]) * factor:.2f} {name}" for one in runs), flush=True)
    for slow, fast in pairs:
        all_ratios = ratios(times[slow], times[fast])
        print(
            f"  {slow} / {fast}: {median(all_ratios):.2f} ({min(all_ratios):.2f} to {max(all_ratios):.2f})", flush=True
        )


def model_of(config: str, *overrides: str) -> Any:
    """Return a model at base size."""
    return build_model(load_config(config, overrides))


def exact(rounds: int, batch_size: int) -> None:
    """Training steps of BUS and of its model without reduction, all losses, with and without what no loss reads."""
    together = ["model.conditioning.mode=shared", "model.momentum.selection=same", "model.tokenizer.max_length=25"]
    group = make_groups(["bus/bus_base_4m"], together)[0]
    for name, one in (("unpruned", group.baseline), ("BUS", group.members[0])):
        model = one.build()
        now = releasing(Workload(model, "model", made_up_batch(model, batch_size, 25)))
        show(name, {"all": off(now), "now": now}, rounds, [("all", "now")])


def reranking(rounds: int, batch_size: int) -> None:
    """Scoring 32 captions of each of two images, as an evaluation does."""
    configs = ("bus/bus_base_4m", "trips/trips_base_4m", "neighbours/evit_base_4m")
    groups = [make_groups([config], ["model.tokenizer.max_length=25"])[0] for config in configs]
    for one in [one for group in groups for one in (group.baseline, *group.members)]:
        model = one.build().eval()
        images, samples = made_up_batch(model, 64, 25)
        cache, texts = ImageTokens("benchmark"), EncodedTexts(model, [sample.text for sample in samples], 64)
        with torch.no_grad():
            cache.encode(model, images[:2], [0, 1])
            texts.take(range(64))
            pairs = [(row // 32, row) for row in range(64)]

            def score(
                model: Any = model, cache: Any = cache, texts: Any = texts, pairs: Any = pairs, **how: bool
            ) -> None:
                with torch.no_grad():
                    score_pairs(model, cache, texts, pairs, 32, **how)

            runs = {"now": score, "all computed": off(score)}
            if model.encoders.reads_text:
                runs["text-free"] = lambda score=score: score(select_by_text=False)
            show(f"{one.name}, 64 pairs", runs, rounds, [("all computed", "now")], (1000 / 64, "ms a pair"))


def captions(rounds: int, batch_size: int) -> None:
    """Beam search over 5 beams and 20 tokens for 4 images."""
    model = model_of("bus/bus_caption_base").eval()
    memory, mask = torch.randn(4, 65, 768), torch.ones(4, 65, dtype=torch.bool)
    rules = SearchRules(beam_size=5, max_length=20, min_length=20, early_exit=False)

    def write(**cache: Any) -> None:
        start = torch.full((4, 1), 101)
        generate(model.encoders.decode, memory, mask, start, end_id=102, pad_id=0, rules=rules, **cache)

    runs = {"without cache": write, "with cache": lambda: write(new_cache=model.encoders.new_text_cache)}
    show("captions of 4 images", runs, rounds, [("without cache", "with cache")])


def evaluation(rounds: int, batch_size: int) -> None:
    """Predictions for 4 pairs: those of all heads, and what recall reads."""
    model = model_of("bus/bus_base_4m", "model.tokenizer.max_length=25").eval()
    images, samples = made_up_batch(model, 4, 25)

    def predict(fields: Any) -> None:
        with torch.no_grad():
            model.predict(images, [sample.clone() for sample in samples], fields=fields)

    wanted = {"image_feats", "text_feats"}
    runs = {"all heads": lambda: predict(None), "what recall reads": lambda: predict(wanted)}
    show("predictions of 4 pairs", runs, rounds, [("all heads", "what recall reads")])


def optimizer(rounds: int, batch_size: int) -> None:
    """AdamW's step over all weights of BUS."""
    model = model_of("bus/bus_base_4m")
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in weights:
        parameter.grad = torch.zeros_like(parameter)
    runs = {
        name: torch.optim.AdamW(weights, lr=1e-6, fused=fused).step
        for name, fused in (("plain", False), ("fused", True))
    }
    show("AdamW", runs, rounds, [("plain", "fused")])


PARTS = {"exact": exact, "reranking": reranking, "captions": captions, "evaluation": evaluation, "optimizer": optimizer}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=4, help="of steps and predictions (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    for name in args.parts:
        PARTS[name](args.rounds, args.batch_size)
