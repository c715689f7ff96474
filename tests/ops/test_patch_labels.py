import pytest
import torch

from bus_toolkit.ops.patch_labels import boxes_to_patch_labels, carry_to_candidates, patch_cover


def slow_labels(box, height, width, patch, threshold):
    labels = []
    for r in range(height // patch):
        for c in range(width // patch):
            w = min(box[2], (c + 1) * patch) - max(box[0], c * patch)
            h = min(box[3], (r + 1) * patch) - max(box[1], r * patch)
            labels.append(max(w, 0) * max(h, 0) / patch**2 > threshold)
    return labels


def test_a_box_aligned_to_cells_labels_exactly_those_cells():
    # 4 x 4 cells of 8 pixels: columns 1-2 of row 1.
    labels = boxes_to_patch_labels(torch.tensor([[8.0, 8.0, 24.0, 16.0]]), (32, 32), 8)
    assert labels[0].nonzero().flatten().tolist() == [5, 6]


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.9])
def test_agrees_with_the_rule_written_as_loops(threshold):
    corners = torch.rand(20, 2, 2, generator=torch.Generator().manual_seed(0)) * 60 - 10
    boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=1)
    labels = boxes_to_patch_labels(boxes, (32, 48), 8, threshold)
    assert labels.shape == (20, 24)
    assert labels.tolist() == [slow_labels(box, 32, 48, 8, threshold) for box in boxes.tolist()]


def test_a_box_outside_or_without_area_labels_nothing():
    boxes = torch.tensor([[40.0, 0.0, 50.0, 8.0], [-9.0, -9.0, -1.0, -1.0], [4.0, 4.0, 4.0, 9.0]])
    assert not boxes_to_patch_labels(boxes, (32, 32), 8).any()


def test_the_share_must_be_above_the_threshold_not_equal_to_it():
    half = torch.tensor([[0.0, 0.0, 4.0, 8.0]])
    assert not boxes_to_patch_labels(half, (8, 8), 8, 0.5).any()
    assert boxes_to_patch_labels(half, (8, 8), 8, 0.49).all()


def test_padding_covers_nothing_and_a_batch_equals_its_images():
    boxes = torch.tensor([[[0.0, 0, 9, 9], [16, 16, 32, 32]], [[8, 0, 16, 8], [0, 0, 32, 32]]])
    valid = torch.tensor([[True, True], [True, False]])
    labels = boxes_to_patch_labels(boxes, (32, 32), 8, valid=valid)
    assert labels.shape == (2, 2, 16)
    assert torch.equal(labels[0], boxes_to_patch_labels(boxes[0], (32, 32), 8))
    assert not labels[1, 1].any()


def test_mirrored_boxes_give_mirrored_labels():
    box = torch.tensor([[3.0, 5.0, 19.0, 11.0]])
    mirrored = torch.tensor([[32 - 19.0, 5.0, 32 - 3.0, 11.0]])
    labels = boxes_to_patch_labels(box, (32, 32), 8).view(4, 4)
    assert torch.equal(boxes_to_patch_labels(mirrored, (32, 32), 8).view(4, 4), labels.flip(1))


@pytest.mark.parametrize(
    ("boxes", "patch", "threshold", "message"),
    [
        (torch.zeros(2, 3), 8, 0.0, r"shape \(..., M, 4\), got \(2, 3\)"),
        (torch.zeros(2, 4), 8, 1.0, r"threshold must be in \[0, 1\), got 1.0"),
        (torch.zeros(2, 4), 64, 0.0, r"patch_size must be at most the image size \(32, 32\), got 64"),
    ],
)
def test_refuses_wrong_arguments(boxes, patch, threshold, message):
    with pytest.raises(ValueError, match=message):
        boxes_to_patch_labels(boxes, (32, 32), patch, threshold)


def test_the_cover_is_the_share_of_each_patch_and_a_candidate_has_the_largest_of_its_patches():
    cover = patch_cover(torch.tensor([[[0.0, 0.0, 12.0, 8.0]]]), (16, 16), 8)[:, 0]
    assert cover.tolist() == [[1.0, 0.5, 0.0, 0.0]]
    assert carry_to_candidates(cover, torch.tensor([[-1, 1, 1, 0]]), 3).tolist() == [[0.0, 0.5, 0.0]]
