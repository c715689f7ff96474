"""Each image is encoded once, and its tokens stay where the memory allows."""

from __future__ import annotations

import pytest
import torch

from bus_toolkit.errors import ConfigError, DataError
from bus_toolkit.evaluation.retrieval.device_memory import DeviceMemory
from bus_toolkit.evaluation.retrieval.image_tokens import ImageTokens
from tests.evaluation.toy import ToyModel

CPU = torch.device("cpu")


def toy_images(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8)


def toy_tokens(model: ToyModel) -> ImageTokens:
    """Return the six images of the toy, 100 to 105."""
    tokens = ImageTokens("VLPEvalLoop")
    tokens.encode(model, toy_images(*range(6)), range(100, 106))
    return tokens


def numbers(shared) -> list[float]:
    return shared.tokens[:, 0, 0].tolist()


def test_an_image_that_comes_again_is_not_encoded_again():
    model, tokens = ToyModel(), ImageTokens("VLPEvalLoop")
    assert numbers(tokens.encode(model, toy_images(1, 2, 1), ["a", "b", "a"])) == [1, 2, 1]
    assert model.prefix_images == 2
    assert numbers(tokens.encode(model, toy_images(2, 3), ["b", "c"])) == [2, 3]
    assert model.prefix_images == 3 and tokens.ids() == ["a", "b", "c"]
    assert numbers(tokens.encode(model, toy_images(3, 1), ["c", "a"])) == [3, 1]
    assert model.prefix_images == 3


def test_a_kept_image_is_a_copy_and_can_be_forgotten():
    tokens = toy_tokens(ToyModel())
    taken = tokens.take([101, 104], CPU)
    assert numbers(taken) == [1, 4]
    taken.tokens.zero_()
    assert numbers(tokens.take([101, 104], CPU)) == [1, 4]
    tokens.keep_only({104})
    assert tokens.ids() == [104] and len(tokens) == 1 and 101 not in tokens


def test_images_of_different_grids_are_refused_in_one_batch():
    model = ToyModel()
    tokens = toy_tokens(model)
    encode = model.encoders.encode_shared
    model.encoders.encode_shared = lambda images: type(encode(images))(encode(images).tokens, (1, 4), 1)
    tokens.encode(model, toy_images(0), [7])
    with pytest.raises(DataError, match=r"one patch grid, got \[\(1, 4\), \(2, 2\)\]. Resize"):
        tokens.take([100, 7], CPU)


class Elsewhere(torch.Tensor):
    """A tensor on the CPU that says it is on another device, and counts the ways there and back."""

    moves: list[str] = []
    device = torch.device("cuda")  # type: ignore[assignment]

    def cpu(self):  # noqa: ANN201
        self.moves.append("to the CPU")
        return self.as_subclass(torch.Tensor)


def test_tensors_stay_on_the_device_until_the_memory_is_full_and_free_it_when_forgotten():
    Elsewhere.moves.clear()
    memory = DeviceMemory(2.5 * 4096 / 2**30)  # two and a half tensors
    kept = [memory.keep(torch.zeros(1024).as_subclass(Elsewhere)) for _ in range(3)]
    assert [tensor.device.type for tensor in kept] == ["cuda", "cuda", "cpu"] and len(Elsewhere.moves) == 1
    memory.release(kept[0])
    memory.release(kept[2])
    assert memory.free_bytes == 1.5 * 4096
    assert memory.keep(torch.zeros(1024).as_subclass(Elsewhere)).device.type == "cuda"


def test_a_model_on_the_cpu_needs_no_memory_elsewhere():
    memory, tensor = DeviceMemory(0), torch.zeros(4)
    assert memory.keep(tensor) is tensor and memory.free_bytes == 0
    memory.release(tensor)
    assert memory.free_bytes == 0


@pytest.mark.parametrize("gibibytes", [-1, float("nan")])
def test_impossible_memory_is_refused(gibibytes):
    with pytest.raises(ConfigError, match="VLPEvalLoop.rerank_device_memory: must be 0 GiB or more, got"):
        DeviceMemory(gibibytes, owner="VLPEvalLoop.rerank_device_memory")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_tokens_stay_there_and_come_back_from_the_cpu_with_the_same_bits():
    from bus_toolkit.testing import tiny_batch, tiny_model

    model = tiny_model({"itc": {"type": "ITCHead", "feature_dim": 8}}).eval().cuda()
    images, device = tiny_batch()[0].cuda(), torch.device("cuda:0")
    held = {gibibytes: ImageTokens("", DeviceMemory(gibibytes)) for gibibytes in (1.0, 0.0)}
    with torch.no_grad():
        encoded = [tokens.encode(model, images, range(3)) for tokens in held.values()]
    assert all(shared.tokens.device == device for shared in encoded)
    assert {shared.tokens.device.type for shared in held[1.0]._images.values()} == {"cuda"}
    assert {shared.tokens.device.type for shared in held[0.0]._images.values()} == {"cpu"}
    taken = [tokens.take([2, 0], device) for tokens in held.values()]
    assert torch.equal(taken[0].tokens, taken[1].tokens) and taken[1].tokens.device == device
