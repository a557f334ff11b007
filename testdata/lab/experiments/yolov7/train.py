"""A small YOLOv7 (Wang et al., 2022, arXiv:2207.02696) that finds squares and discs.

One pass gives boxes: ELAN blocks extract features, a top-down path joins two
sizes of them, and every cell of each grid proposes a box, how sure it is of an
object, and its class, for each of its anchors. Left out for size: the third
grid, the auxiliary head, and choosing among several positive cells by cost.
"""

import argparse
import json
import math
import pathlib
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def convolution(inputs, outputs, size, stride=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class ELAN(nn.Module):
    """Short and long paths side by side: each stretch of the long one is kept."""

    def __init__(self, inputs, outputs):
        super().__init__()
        width = outputs // 2
        self.short = convolution(inputs, width, 1)
        self.enter = convolution(inputs, width, 1)
        self.near = nn.Sequential(convolution(width, width, 3), convolution(width, width, 3))
        self.far = nn.Sequential(convolution(width, width, 3), convolution(width, width, 3))
        self.join = convolution(4 * width, outputs, 1)

    def forward(self, x):
        enter = self.enter(x)
        near = self.near(enter)
        return self.join(torch.cat([self.short(x), enter, near, self.far(near)], dim=1))


class Halve(nn.Module):
    """Half the size by pooling and by striding, side by side."""

    def __init__(self, width):
        super().__init__()
        self.pool = nn.Sequential(nn.MaxPool2d(2), convolution(width, width // 2, 1))
        self.stride = nn.Sequential(
            convolution(width, width // 2, 1), convolution(width // 2, width // 2, 3, stride=2)
        )

    def forward(self, x):
        return torch.cat([self.pool(x), self.stride(x)], dim=1)


class YOLO(nn.Module):
    strides = (8, 16)

    def __init__(self, width, classes, anchors):
        super().__init__()
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float))
        self.stem = nn.Sequential(
            convolution(3, width, 3), convolution(width, 2 * width, 3, stride=2)
        )
        self.to8 = nn.Sequential(
            ELAN(2 * width, 4 * width), Halve(4 * width),
            ELAN(4 * width, 8 * width), Halve(8 * width),
            ELAN(8 * width, 8 * width),
        )  # fmt: skip
        self.to16 = nn.Sequential(Halve(8 * width), ELAN(8 * width, 16 * width))
        self.narrow = convolution(16 * width, 8 * width, 1)
        self.merge = ELAN(16 * width, 8 * width)
        outputs = len(anchors[0]) * (5 + classes)
        self.heads = nn.ModuleList(nn.Conv2d(w * width, outputs, 1) for w in (8, 16))

    def forward(self, x):
        """For each grid: image, anchor, row, column, (x, y, w, h, object, classes…)."""
        fine = self.to8(self.stem(x))
        coarse = self.to16(fine)
        above = F.interpolate(self.narrow(coarse), scale_factor=2)
        fine = self.merge(torch.cat([fine, above], dim=1))
        grids = []
        for head, features in zip(self.heads, (fine, coarse)):
            y = head(features)
            images, _, rows, columns = y.shape
            y = y.view(images, self.anchors.size(1), -1, rows, columns)
            grids.append(y.permute(0, 1, 3, 4, 2))
        return grids


def complete_iou(a, b):
    """Overlap of boxes (x, y, w, h), less for distance and other proportions."""
    a1, a2 = a[:, :2] - a[:, 2:] / 2, a[:, :2] + a[:, 2:] / 2
    b1, b2 = b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2
    shared = (torch.min(a2, b2) - torch.max(a1, b1)).clamp(min=0).prod(1)
    iou = shared / (a[:, 2:].prod(1) + b[:, 2:].prod(1) - shared + 1e-7)
    diagonal = (torch.max(a2, b2) - torch.min(a1, b1)).pow(2).sum(1) + 1e-7
    distance = (a[:, :2] - b[:, :2]).pow(2).sum(1) / diagonal
    slant = torch.atan(a[:, 2] / a[:, 3]) - torch.atan(b[:, 2] / b[:, 3])
    tilt = slant.pow(2) * 4 / math.pi**2
    with torch.no_grad():
        weight = tilt / (tilt - iou + 1 + 1e-7)
    return iou - distance - weight * tilt


def detection_loss(grids, truth, model, hparams):
    """truth has a row per object: image, class, x, y, w, h in pixels.

    An object belongs to each anchor that is less than four times larger or
    smaller, in the cell that holds its centre.
    """
    box_loss = object_loss = class_loss = 0
    for grid, anchors, stride in zip(grids, model.anchors, model.strides):
        confidence = torch.zeros_like(grid[..., 4])
        ratio = truth[None, :, 4:] / anchors[:, None]
        anchor, row = (torch.max(ratio, 1 / ratio).amax(2) < 4).nonzero().T
        if len(row):
            objects = truth[row]
            image, kind = objects[:, 0].long(), objects[:, 1].long()
            cell = (objects[:, 2:4] / stride).long()
            place = (image, anchor, cell[:, 1], cell[:, 0])
            guess = grid[place]
            centre = (guess[:, :2].sigmoid() * 2 - 0.5 + cell) * stride
            extent = (guess[:, 2:4].sigmoid() * 2) ** 2 * anchors[anchor]
            iou = complete_iou(torch.cat([centre, extent], dim=1), objects[:, 2:])
            box_loss = box_loss + (1 - iou).mean()
            confidence[place] = iou.detach().clamp(min=0)
            wanted = F.one_hot(kind, guess.size(1) - 5).float()
            class_loss = class_loss + F.binary_cross_entropy_with_logits(guess[:, 5:], wanted)
        object_loss = object_loss + F.binary_cross_entropy_with_logits(grid[..., 4], confidence)
    return (
        hparams["box_weight"] * box_loss
        + hparams["object_weight"] * object_loss
        + hparams["class_weight"] * class_loss
    )


def scenes(count, size):
    """Noise with a bright square (class 0) and a disc (class 1) in each image."""
    images, truth = 0.2 * torch.randn(count, 3, size, size), []
    y, x = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    for image in range(count):
        for kind in (0, 1):
            side = 10 + 14 * torch.rand(1).item()
            cx, cy = (side / 2 + (size - side) * torch.rand(2)).tolist()
            away = torch.stack([(x - cx).abs(), (y - cy).abs()])
            inside = away.amax(0) if kind == 0 else away.pow(2).sum(0).sqrt()
            images[image, :, inside < side / 2] += 1
            truth.append([image, kind, cx, cy, side, side])
    return images, torch.tensor(truth)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    hparams = json.loads(pathlib.Path(__file__).with_name("hparams.json").read_text())
    parser.add_argument("--steps", type=int, default=hparams["steps"], help="at least 2")
    steps = max(2, parser.parse_args().steps)

    torch.manual_seed(hparams["seed"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, truth = scenes(hparams["batch_size"], hparams["image_size"])
    images, truth = images.to(device), truth.to(device)
    model = YOLO(hparams["width"], hparams["classes"], hparams["anchors"]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=hparams["learning_rate"])

    losses, start = [], time.perf_counter()
    for step in range(1, steps + 1):
        loss = detection_loss(model(images), truth, model, hparams)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print(json.dumps({"step": step, "loss": round(losses[-1], 4)}), flush=True)
    rate = steps * len(images) / (time.perf_counter() - start)
    print(json.dumps({"images_per_second": round(rate, 1), "final_loss": round(losses[-1], 4)}))
    if not losses[-1] < losses[0]:
        sys.exit(f"the loss did not go down: {losses[0]:.4f} to {losses[-1]:.4f}")


if __name__ == "__main__":
    main()
