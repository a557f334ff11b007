"""BERT in PyTorch: the same model as model_tensorflow.py."""

import torch
from torch import nn
from torch.nn import functional as F


class Layer(nn.Module):
    """Attention in both directions, then a small network; each is normed after."""

    def __init__(self, width, heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.think = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x):
        x = self.norm1(x + self.attention(x, x, x, need_weights=False)[0])
        return self.norm2(x + self.think(x))


class BERT(nn.Module):
    def __init__(self, vocabulary, length, layers, heads, width):
        super().__init__()
        self.word = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(length, width)
        self.segment = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.transform = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=1e-12)
        )
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, tokens, segments):
        x = self.word(tokens) + self.position.weight + self.segment(segments)
        x = self.transform(self.layers(self.norm(x)))
        return x @ self.word.weight.T + self.bias


class Trainer:
    def __init__(self, vocabulary, length, hparams):
        torch.manual_seed(hparams["seed"])
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        model = BERT(vocabulary, length, hparams["layers"], hparams["heads"], hparams["width"])
        self.model = model.to(self.device)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=hparams["learning_rate"])

    def step(self, *batch):
        """One step on NumPy arrays; returns the loss before it."""
        tokens, segments, labels = (torch.from_numpy(array).to(self.device) for array in batch)
        logits = self.model(tokens, segments)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()
