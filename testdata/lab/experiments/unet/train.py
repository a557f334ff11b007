"""U-Net (Ronneberger et al., 2015, arXiv:1505.04597) that finds discs in noise.

An encoder halves the image step by step, a decoder doubles it again, and at
each size a skip connection hands the encoder's details over. The loss is
cross-entropy plus dice, as discs cover little of an image.
"""

import argparse
import json
import pathlib
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def block(inputs, outputs):
    """Two 3x3 convolutions. Padded, unlike the paper's: the mask keeps its size."""
    layers = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        widths = [width << level for level in range(depth + 1)]
        inputs = [1] + widths[:-1]
        self.down = nn.ModuleList(block(i, o) for i, o in zip(inputs[:-1], widths[:-1]))
        self.bottom = block(inputs[-1], widths[-1])
        upward = list(reversed(widths))
        self.grow = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in zip(upward[:-1], upward[1:])
        )
        self.up = nn.ModuleList(block(2 * o, o) for o in upward[1:])
        self.mask = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for grow, up in zip(self.grow, self.up):
            x = up(torch.cat([skips.pop(), grow(x)], dim=1))
        return self.mask(x)


def dice_loss(logits, masks):
    """1 - 2|A and B| / (|A| + |B|), with probabilities for members."""
    guess = logits.sigmoid().flatten(1)
    truth = masks.flatten(1)
    overlap = (guess * truth).sum(1)
    return (1 - (2 * overlap + 1) / (guess.sum(1) + truth.sum(1) + 1)).mean()


def discs(count, size):
    """Noisy images of one disc each, and the discs as masks."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    radius = size * (0.1 + 0.15 * torch.rand(count, 1, 1))
    centre = size * (0.25 + 0.5 * torch.rand(2, count, 1, 1))
    masks = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2).float()[:, None]
    return masks + 0.5 * torch.randn(count, 1, size, size), masks


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    hparams = json.loads(pathlib.Path(__file__).with_name("hparams.json").read_text())
    parser.add_argument("--steps", type=int, default=hparams["steps"], help="at least 2")
    steps = max(2, parser.parse_args().steps)

    torch.manual_seed(hparams["seed"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, masks = discs(hparams["batch_size"], hparams["image_size"])
    images, masks = images.to(device), masks.to(device)
    model = UNet(hparams["width"], hparams["depth"]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=hparams["learning_rate"])

    losses, start = [], time.perf_counter()
    for step in range(1, steps + 1):
        logits = model(images)
        loss = F.binary_cross_entropy_with_logits(logits, masks) + dice_loss(logits, masks)
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
