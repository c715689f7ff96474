"""A model that knows every answer in the second stage and is misled in the first; also used by spawned processes."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from mmengine.dataset import DefaultSampler
from mmengine.dist import barrier
from mmengine.model import BaseDataPreprocessor, BaseModel, MMDistributedDataParallel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import DataLoader

import bus_toolkit.evaluation  # noqa: F401  (registers the loop and the metrics)
from bus_toolkit.engine.hooks.sample_lines import SampleLinesHook
from bus_toolkit.heads import ITCHead, ITMHead
from bus_toolkit.structures import FusedTokens, SharedTokens, TextTokens, TokenBatch, VisualTokens

NUM_IMAGES = 6
GRID = (2, 2)
_runs = itertools.count()


class ToyData:
    """Images whose pixels hold their number, with ``captions`` captions each: "picture <number>"."""

    def __init__(self, captions: int = 1, images: int = NUM_IMAGES) -> None:
        self.pairs = [(image, caption) for image in range(images) for caption in range(captions)]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict:
        image, _ = self.pairs[index]
        sample = BaseDataElement(text=f"picture {image}", image_id=100 + image, text_id=index)
        return {"inputs": torch.full((3, 8, 8), image, dtype=torch.uint8), "data_samples": sample}


def collate(rows: list[dict]) -> dict:
    return {
        "inputs": torch.stack([row["inputs"] for row in rows]),
        "data_samples": [row["data_samples"] for row in rows],
    }


class ToyPreprocessor(BaseDataPreprocessor):
    def forward(self, data: dict, training: bool = False) -> dict:
        inputs = data["inputs"]
        inputs = inputs if isinstance(inputs, torch.Tensor) else torch.stack(inputs)
        return {"images": inputs.float(), "data_samples": data["data_samples"]}


def tokenize(texts: list[str]) -> TokenBatch:
    """Return the number of the picture, once or (odd numbers) twice: captions of different lengths."""
    numbers = [int(text.split()[1]) for text in texts]
    ids = torch.zeros(len(texts), 2, dtype=torch.long)
    mask = torch.zeros(len(texts), 2, dtype=torch.bool)
    for row, number in enumerate(numbers):
        length = 1 + number % 2
        ids[row, :length] = number
        mask[row, :length] = True
    longest = int(mask.sum(dim=1).max())
    return TokenBatch(ids[:, :longest], mask[:, :longest])


class ToyITC(ITCHead):
    def __init__(self) -> None:
        super().__init__(embed_dim=1, text_dim=1, feature_dim=1)
        self.requires_grad_(False)


class ToyITM(ITMHead):
    def __init__(self) -> None:
        super().__init__(text_dim=1)
        self.requires_grad_(False)

    def class_logits(self, fused: FusedTokens) -> torch.Tensor:
        match = 1.0 - (fused.text[:, 0, 0] - fused.visual[:, 0, 0]).abs()
        return torch.stack([torch.zeros_like(match), match], dim=1)


class ToyModel(BaseModel):
    """First stage: each image looks most like the next one's caption, then like its own. Second stage: exact."""

    def __init__(self) -> None:
        super().__init__(data_preprocessor=ToyPreprocessor())
        self.unused = nn.Parameter(torch.zeros(1))
        self.heads = nn.ModuleDict({"itc": ToyITC(), "itm": ToyITM()})
        self.tokenizer = tokenize
        self.prefix_images = 0
        self.scored_pairs = 0
        self.wanted_fields = None

    @property
    def encoders(self) -> ToyModel:
        return self

    def forward(self, images: torch.Tensor, data_samples: list, mode: str = "tensor") -> list | dict:
        if mode == "loss":
            return {"loss_itc": (self.unused - 2.0).square().sum()}
        return self.predict(images, data_samples)

    def predict(self, images: torch.Tensor, data_samples: list, shared: SharedTokens | None = None, **_) -> list:
        for image, sample in zip(images, data_samples, strict=True):
            number = int(image[0, 0, 0])
            own = nn.functional.one_hot(torch.tensor(number), NUM_IMAGES).float()
            after = nn.functional.one_hot(torch.tensor((number + 1) % NUM_IMAGES), NUM_IMAGES).float()
            sample.set_field(0.6 * own + 0.8 * after, "image_feats")
            sample.set_field(own, "paired_image_feats")
            sample.set_field(own, "text_feats")
            sample.set_field(torch.tensor([True, False, False, True]), "kept")
            sample.set_field(torch.tensor([0.9, 0.1, 0.2, 0.6]), "scores")
            sample.set_field(GRID, "patch_grid")
        return data_samples

    def encode_shared(self, images: torch.Tensor) -> SharedTokens:
        self.prefix_images += images.shape[0]
        return SharedTokens(images[:, :1, 0, 0].unsqueeze(-1).expand(-1, 5, 3), GRID, 1)

    def encode_text(self, tokens: TokenBatch) -> TextTokens:
        embeds = tokens.input_ids.float().unsqueeze(-1).expand(-1, -1, 3)
        return TextTokens(embeds, embeds[:, 0], tokens.attention_mask)

    def encode_visual(self, prefix: SharedTokens, text: TextTokens) -> VisualTokens:
        self.scored_pairs += prefix.tokens.shape[0]
        return VisualTokens(prefix.tokens, 1, prefix.grid)

    def encode_pairs(self, prefix: SharedTokens, image_rows: torch.Tensor, text: TextTokens) -> VisualTokens:
        return self.encode_visual(prefix.index(image_rows), text)

    def fuse(self, text: TextTokens, visual: VisualTokens, *, first_only: bool = False) -> FusedTokens:
        return FusedTokens(text.embeds, visual.embeds, text.attention_mask)


def build_runner(
    work_dir: Path, *, captions: int = 1, batch_size: int = 4, model: BaseModel | None = None, **settings
) -> Runner:
    """Return a Runner for the toy; ``settings`` go to the loop, but for images, hooks and epochs (of training)."""
    data = ToyData(captions, settings.pop("images", NUM_IMAGES))
    hooks, epochs = settings.pop("hooks", []), settings.pop("epochs", 0)
    loader = DataLoader(data, batch_size, sampler=DefaultSampler(data, shuffle=False), collate_fn=collate)
    loop = {"type": "bus_toolkit.VLPEvalLoop", "rerank_topk": 2, **settings}
    evaluator = [{"type": "bus_toolkit.RetrievalRecall"}]
    return Runner(
        model=model or ToyModel(),
        work_dir=str(work_dir),
        val_dataloader=loader,
        val_cfg=dict(loop),
        val_evaluator=list(evaluator),
        test_dataloader=loader,
        test_cfg=dict(loop),
        test_evaluator=list(evaluator),
        custom_hooks=hooks,
        train_dataloader=loader if epochs else None,
        train_cfg={"by_epoch": True, "max_epochs": epochs, "val_interval": 1} if epochs else None,
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}} if epochs else None,
        default_hooks={"logger": {"type": "LoggerHook", "interval": 1}},
        experiment_name=f"toy_{next(_runs)}",
        log_level="ERROR",
    )


def evaluate(work_dir: Path, *, wrapped: bool = False) -> tuple[dict[str, float], str]:
    """Test the toy on three captions of five images; return its metrics and its samples file."""
    model = MMDistributedDataParallel(ToyModel(), device_ids=None) if wrapped else None
    path = work_dir / "samples.jsonl"
    metrics = build_runner(work_dir, captions=3, images=5, model=model, hooks=[SampleLinesHook(path)]).test()
    barrier()  # the main process alone writes
    return metrics, path.read_text()


def evaluate_on_rank(rank: int, work_dir: Path) -> tuple[dict[str, float], str]:
    """Do ``evaluate`` as one of several processes."""
    return evaluate(work_dir, wrapped=True)
