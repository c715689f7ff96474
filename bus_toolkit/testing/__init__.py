"""The conformance kit: what plugin authors, and our own tests, run on a part.

Each function checks one kind. It takes a registered name or a class and the constructor's arguments that it cannot fill
in itself, runs every check of the kind on tiny inputs, and raises one ``ConformanceError`` that names each cause once,
with the promise that it breaks::

    from bus_toolkit.testing import check_selector

    check_selector(Mine)                                       # a class
    check_selector("HiPrune", keep_ratios=[0.5])               # a registered name and an argument
    check_selector(Mine, heads={"mine": {"type": "MineHead"}}) # a selector that a head of its own trains

Model parts: ``check_tokenizer``, ``check_text_encoder``, ``check_backbone``, ``check_selector``, ``check_decoder``,
``check_prior``, ``check_fusion``, ``check_text_decoder``, ``check_head``. What MMEngine's Runner builds:
``check_dataset``, ``check_transform``, ``check_metric``, ``check_hook``, ``check_optimizer``, ``check_scheduler``.
``check_plugin`` runs them on all that a plugin registers, as ``bus-toolkit check-plugin`` does.

Every part that is an ``nn.Module`` must give the same result twice and for a sample alone as within a batch, leave its
inputs alone, give each parameter a finite gradient, work in bfloat16, float64 and under autocast, hold all of its state
in its state dict, survive pickling, give the same under ``torch.compile``, and on a GPU mix no devices or types and
never wait for it in a training step, which ``fake_gpu()`` finds out without one. To that come the promises of its kind;
for selectors also that a loss of a training can reach each parameter: scores alone have none.

``tiny_model(heads, **parts)`` and ``tiny_batch()`` are a whole model at width 32 and three samples, for further tests.
"""

from bus_toolkit.testing.backbones import check_backbone
from bus_toolkit.testing.check import ConformanceError
from bus_toolkit.testing.fake_gpu import fake_gpu
from bus_toolkit.testing.heads import check_head
from bus_toolkit.testing.hooks import check_hook
from bus_toolkit.testing.metrics import check_metric
from bus_toolkit.testing.model import tiny_batch, tiny_model
from bus_toolkit.testing.optimizers import check_optimizer, check_scheduler
from bus_toolkit.testing.plugin import Verdict, check_plugin
from bus_toolkit.testing.samples import check_dataset, check_transform
from bus_toolkit.testing.selectors import check_selector
from bus_toolkit.testing.text_parts import check_text_decoder, check_text_encoder
from bus_toolkit.testing.token_parts import check_decoder, check_fusion, check_prior
from bus_toolkit.testing.tokenizers import check_tokenizer

__all__ = [
    "ConformanceError",
    "Verdict",
    "check_backbone",
    "check_dataset",
    "check_decoder",
    "check_fusion",
    "check_head",
    "check_hook",
    "check_metric",
    "check_optimizer",
    "check_plugin",
    "check_prior",
    "check_scheduler",
    "check_selector",
    "check_text_decoder",
    "check_text_encoder",
    "check_tokenizer",
    "check_transform",
    "fake_gpu",
    "tiny_batch",
    "tiny_model",
]
