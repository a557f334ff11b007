"""GPT-2 (Radford et al., 2019) that learns to write sums, byte by byte.

A decoder with learnt positions, causal attention, normalisation before each
part, GELU, and one matrix for both the embedding and the output.
"""

import argparse
import json
import math
import pathlib
import random
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

VOCABULARY = 256  # bytes


class CausalAttention(nn.Module):
    """Every position looks at itself and at what came before."""

    def __init__(self, width, heads, context):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.register_buffer("past", torch.ones(context, context).tril().bool())

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        scores = scores.masked_fill(~self.past[:length, :length], -math.inf)
        y = scores.softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    def __init__(self, width, heads, context):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads, context)
        self.norm2 = nn.LayerNorm(width)
        self.think = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.think(self.norm2(x))


class GPT2(nn.Module):
    def __init__(self, layers, heads, width, context):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads, context) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                # What adds to the residual stream starts smaller the more adds.
                residual = name.endswith(("attention.out.weight", "think.2.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * layers) if residual else 1))

    def forward(self, tokens):
        x = self.token(tokens) + self.position.weight[: tokens.size(1)]
        return self.norm(self.blocks(x)) @ self.token.weight.T


def sums(count, length, seed):
    """Texts such as "3+9=12;7+0=7;" as bytes."""
    draw = random.Random(seed)
    texts = []
    for _ in range(count):
        text = ""
        while len(text) < length:
            a, b = draw.randrange(10), draw.randrange(10)
            text += f"{a}+{b}={a + b};"
        texts.append(list(text[:length].encode()))
    return torch.tensor(texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    hparams = json.loads(pathlib.Path(__file__).with_name("hparams.json").read_text())
    parser.add_argument("--steps", type=int, default=hparams["steps"], help="at least 2")
    steps = max(2, parser.parse_args().steps)

    torch.manual_seed(hparams["seed"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    texts = sums(hparams["batch_size"], hparams["context"] + 1, hparams["seed"]).to(device)
    before, after = texts[:, :-1], texts[:, 1:]
    model = GPT2(*(hparams[name] for name in ("layers", "heads", "width", "context"))).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=hparams["learning_rate"])

    losses, start = [], time.perf_counter()
    for step in range(1, steps + 1):
        loss = F.cross_entropy(model(before).flatten(0, 1), after.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        print(json.dumps({"step": step, "loss": round(losses[-1], 4)}), flush=True)
    rate = steps * before.numel() / (time.perf_counter() - start)
    print(json.dumps({"tokens_per_second": round(rate, 1), "final_loss": round(losses[-1], 4)}))
    if not losses[-1] < losses[0]:
        sys.exit(f"the loss did not go down: {losses[0]:.4f} to {losses[-1]:.4f}")


if __name__ == "__main__":
    main()
