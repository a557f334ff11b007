"""BERT (Devlin et al., 2018, arXiv:1810.04805) that guesses masked words.

Each text is a sentence and its repetition, so that a masked word can be looked
up in the other half: attention in both directions is what solves this. The
model is in model_tensorflow.py, and the same in model_pytorch.py for an image
that has no TensorFlow.
"""

import argparse
import importlib.util
import json
import pathlib
import sys
import time

import numpy

if importlib.util.find_spec("tensorflow"):
    from model_tensorflow import Trainer
else:
    from model_pytorch import Trainer

CLS, SEP, MASK = 0, 1, 2
SPECIAL = ["[CLS]", "[SEP]", "[MASK]"]
GRAMMAR = [
    ["the", "a"],
    ["small", "old", "grey", "quick", "quiet", "happy"],
    ["cat", "dog", "fox", "bird", "horse", "owl", "mouse", "bear"],
    ["sees", "hears", "likes", "follows", "finds", "greets"],
    ["the", "a"],
    ["tree", "river", "house", "hill", "road", "garden", "stone", "gate"],
]
VOCABULARY = SPECIAL + sorted({word for words in GRAMMAR for word in words})
NO_LABEL = -100  # at positions that count for no loss


def texts(count, draw):
    """[CLS] sentence [SEP] the same sentence [SEP], and which half a word is in."""
    rows = []
    for _ in range(count):
        sentence = [VOCABULARY.index(draw.choice(words)) for words in GRAMMAR]
        rows.append([CLS, *sentence, SEP, *sentence, SEP])
    half = len(GRAMMAR) + 2
    segments = [0] * half + [1] * (len(rows[0]) - half)
    return numpy.array(rows), numpy.array([segments] * count)


def mask(tokens, rate, draw):
    """Hides words: of those chosen 80 % by [MASK], 10 % by another; 10 % stay."""
    chosen = (tokens >= len(SPECIAL)) & (draw.random(tokens.shape) < rate)
    labels = numpy.where(chosen, tokens, NO_LABEL)
    how = draw.random(tokens.shape)
    others = draw.integers(len(SPECIAL), len(VOCABULARY), tokens.shape)
    hidden = numpy.where(how < 0.8, MASK, numpy.where(how < 0.9, others, tokens))
    return numpy.where(chosen, hidden, tokens), labels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    hparams = json.loads(pathlib.Path(__file__).with_name("hparams.json").read_text())
    parser.add_argument("--steps", type=int, default=hparams["steps"], help="at least 2")
    steps = max(2, parser.parse_args().steps)

    draw = numpy.random.default_rng(hparams["seed"])
    tokens, segments = texts(hparams["batch_size"], draw)
    hidden, labels = mask(tokens, hparams["mask_rate"], draw)
    trainer = Trainer(len(VOCABULARY), tokens.shape[1], hparams)

    losses, start = [], time.perf_counter()
    for step in range(1, steps + 1):
        losses.append(trainer.step(hidden, segments, labels))
        print(json.dumps({"step": step, "loss": round(losses[-1], 4)}), flush=True)
    rate = steps * tokens.size / (time.perf_counter() - start)
    print(json.dumps({"tokens_per_second": round(rate, 1), "final_loss": round(losses[-1], 4)}))
    if not losses[-1] < losses[0]:
        sys.exit(f"the loss did not go down: {losses[0]:.4f} to {losses[-1]:.4f}")


if __name__ == "__main__":
    main()
