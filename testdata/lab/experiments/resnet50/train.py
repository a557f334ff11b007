"""ResNet-50 (He et al., 2015, arXiv:1512.03385) on images made on the spot.

The network is whole: 50 layers in bottleneck blocks of 3, 4, 6 and 3. Only its
width is a quarter, so that it trains on a CPU in seconds.
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
    """A convolution without bias, as batch normalisation follows and has one."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Bottleneck(nn.Module):
    """1x1 narrows, 3x3 looks around, 1x1 widens again; the input is added."""

    expansion = 4

    def __init__(self, inputs, width, stride):
        super().__init__()
        outputs = width * self.expansion
        self.narrow = convolution(inputs, width, 1)
        self.look = convolution(width, width, 3, stride)
        self.widen = convolution(width, outputs, 1)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = convolution(inputs, outputs, 1, stride)

    def forward(self, x):
        y = F.relu(self.narrow(x))
        y = F.relu(self.look(y))
        return F.relu(self.widen(y) + self.shortcut(x))


class ResNet50(nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        self.stem = nn.Sequential(
            convolution(3, width, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)
        )
        stages, inputs = [], width
        for number, blocks in enumerate([3, 4, 6, 3]):
            for block in range(blocks):
                stride = 2 if block == 0 and number > 0 else 1
                stages.append(Bottleneck(inputs, width << number, stride))
                inputs = (width << number) * Bottleneck.expansion
        self.stages = nn.Sequential(*stages)
        self.classify = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        x = self.stages(self.stem(x))
        return self.classify(x.mean(dim=(2, 3)))


def gratings(count, classes, size):
    """Stripes under noise; the class is the angle at which they run."""
    labels = torch.arange(count) % classes
    angle = labels * math.pi / classes
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    across = x * angle.cos()[:, None, None] + y * angle.sin()[:, None, None]
    phase = torch.rand(count, 1, 1) * 2 * math.pi
    stripes = torch.sin(across * 0.6 + phase)
    return stripes[:, None] + 0.5 * torch.randn(count, 3, size, size), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    hparams = json.loads(pathlib.Path(__file__).with_name("hparams.json").read_text())
    parser.add_argument("--steps", type=int, default=hparams["steps"], help="at least 2")
    steps = max(2, parser.parse_args().steps)

    torch.manual_seed(hparams["seed"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels = gratings(hparams["batch_size"], hparams["classes"], hparams["image_size"])
    images, labels = images.to(device), labels.to(device)
    model = ResNet50(hparams["classes"], hparams["width"]).to(device)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=hparams["learning_rate"],
        momentum=hparams["momentum"],
        weight_decay=hparams["weight_decay"],
    )

    losses, start = [], time.perf_counter()
    for step in range(1, steps + 1):
        loss = F.cross_entropy(model(images), labels)
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
