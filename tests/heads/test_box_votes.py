import torch

from bus_toolkit.heads.box_votes import vote
from bus_toolkit.losses.boxes import iou

LEFT, RIGHT = [0.0, 0.0, 0.4, 0.4], [0.6, 0.6, 1.0, 1.0]
NEAR_LEFT = [0.0, 0.0, 0.4, 0.36]  # IoU 0.9 with LEFT


def votes(boxes, weights):
    box, support = vote(torch.tensor([boxes]), torch.tensor([weights]))
    return box[0], support[0]


def test_boxes_that_agree_are_averaged_by_weight():
    box, support = votes([LEFT, NEAR_LEFT, RIGHT], [0.3, 0.3, 0.4])
    torch.testing.assert_close(box, torch.tensor([0.0, 0.0, 0.4, 0.38]))
    torch.testing.assert_close(support, torch.tensor(0.6))


def test_two_objects_are_never_averaged():
    box, support = votes([LEFT, RIGHT], [0.49, 0.51])
    torch.testing.assert_close(box, torch.tensor(RIGHT))
    torch.testing.assert_close(support, torch.tensor(0.51))


def test_among_ties_the_heaviest_patch_is_followed():
    box, _ = votes([LEFT, NEAR_LEFT, RIGHT], [0.25, 0.25, 0.5])
    torch.testing.assert_close(box, torch.tensor(RIGHT))


def test_points_vote_for_themselves():
    box, support = votes([[0.5] * 4, [0.2] * 4], [0.6, 0.4])
    assert box.tolist() == [0.5] * 4 and abs(support - 0.6) < 1e-6


def test_a_slow_count_of_the_votes_elects_the_same():
    generator = torch.Generator().manual_seed(0)
    # Around three centres, so that some agree.
    centres = torch.rand(20, 1, 2, generator=generator) * 0.5 + 0.25
    offsets = torch.tensor([[0.0, 0.0], [0.2, 0.2], [-0.2, 0.1]])[torch.randint(0, 3, (20, 24), generator=generator)]
    low = centres + offsets - 0.1 + torch.rand(20, 24, 2, generator=generator) * 0.03
    boxes = torch.cat([low, low + 0.2], dim=-1)
    weights = torch.rand(20, 24, generator=generator).softmax(dim=1)
    voted, support = vote(boxes, weights)
    for row in range(20):
        best, best_box = 0.0, torch.zeros(4)
        for one in range(24):
            friends = [other for other in range(24) if iou(boxes[row, one], boxes[row, other]) >= 0.7]
            total = sum(weights[row, friend].item() for friend in friends)
            if total > best + 1e-6:
                best = total
                best_box = sum(weights[row, friend] * boxes[row, friend] for friend in friends) / total
        torch.testing.assert_close(voted[row], best_box, atol=1e-5, rtol=1e-4)
        assert abs(support[row] - best) < 1e-5


def test_only_the_best_patches_of_a_large_grid_vote():
    boxes = torch.tensor(LEFT).expand(1, 1000, 4).clone()
    boxes[0, :32] = torch.tensor(RIGHT)
    weights = torch.full((1, 1000), 0.9 / 968)
    weights[0, :32] = 0.1 / 32
    box, support = vote(boxes, weights)
    torch.testing.assert_close(box[0], torch.tensor(RIGHT))
    torch.testing.assert_close(support[0], torch.tensor(0.1))
