"""Measures base and adapters on held-out text, and whether samples of an adapter are recognised as its voice.

Writes evaluation.json: perplexity of every model on every voice's held-out text; a few windows as token ids with their
negative log likelihoods, so that another runtime can compute the same numbers; and the sample experiment. With
--samples FILE it scores another runtime's samples instead: {"melville": [[token ids after <bos>], ...], ...}.
Everything is computed in float32 from the stored float16 weights.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from peft import PeftModel
from transformers import LlamaForCausalLM

import data
import tokenizer

SEED = 6
WINDOW = 256  # tokens, <bos> among them: 255 predictions
RECORDED = 24  # windows per voice in the file
SAMPLES, LENGTH, TEMPERATURE = 100, 60, 0.8
OPENINGS = ('The sea', 'In that year', 'My')
BASE = 'base'


def load(work: Path) -> PeftModel:
    model = LlamaForCausalLM.from_pretrained(work / 'base', dtype=torch.float32)
    for voice in data.VOICES:
        folder = work / 'adapters' / voice
        if isinstance(model, PeftModel):
            model.load_adapter(folder, adapter_name=voice)
        else:
            model = PeftModel.from_pretrained(model, folder, adapter_name=voice)
    return model.eval()


class Speaking:
    """`with Speaking(model, name)`: the model under one adapter, or under none for `base`."""

    def __init__(self, model: PeftModel, name: str) -> None:
        self.model, self.name = model, name

    def __enter__(self) -> None:
        if self.name == BASE:
            self.off = self.model.disable_adapter()
            self.off.__enter__()
        else:
            self.model.set_adapter(self.name)

    def __exit__(self, *error) -> None:
        if self.name == BASE:
            self.off.__exit__(*error)


@torch.no_grad()
def losses(model, windows: np.ndarray) -> np.ndarray:
    """Negative log likelihood, in nats, of each row's tokens after the first, summed: [rows]."""
    result = []
    for rows in torch.from_numpy(windows).split(16):
        logits = model(rows[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction='none')
        result.append(loss.double().sum(1).numpy())
    return np.concatenate(result)


def perplexities(model, windows: dict[str, np.ndarray]) -> tuple[dict, dict]:
    table, recorded = {}, {}
    for name in (BASE, *data.VOICES):
        with Speaking(model, name):
            sums = {voice: losses(model, rows) for voice, rows in windows.items()}
        table[name] = {v: round(float(np.exp(s.sum() / (len(s) * (WINDOW - 1)))), 3) for v, s in sums.items()}
        recorded[name] = {v: [round(float(x), 4) for x in s[pick(len(s))]] for v, s in sums.items()}
        print(f'{name:18}', table[name], flush=True)
    return table, recorded


def pick(count: int) -> np.ndarray:
    """Evenly spaced windows for the file."""
    return np.linspace(0, count - 1, RECORDED).round().astype(int)


@torch.no_grad()
def sample(model, prompt: list[int], count: int, length: int, **options) -> np.ndarray:
    """`count` continuations of exactly `length` tokens."""
    rows = torch.tensor([prompt]).repeat(count, 1)
    out = model.generate(
        input_ids=rows, attention_mask=torch.ones_like(rows), do_sample=True, min_new_tokens=length, max_new_tokens=length, **options
    )
    return out[:, len(prompt) :].numpy()


def recognise(model, samples: dict[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """Of each adapter's samples, how many have their lowest perplexity under which model."""
    names = (BASE, *data.VOICES)
    counts = {}
    for voice, rows in samples.items():
        rows = np.concatenate([np.zeros((len(rows), 1), np.int64), rows], 1)  # <bos> is 0
        scores = []
        for name in names:
            with Speaking(model, name):
                scores.append(losses(model, rows))
        best = np.argmin(scores, axis=0)
        counts[voice] = {name: int((best == i).sum()) for i, name in enumerate(names)}
        print(f'{voice:18}', counts[voice], flush=True)
    return counts


def evaluate(work: Path) -> None:
    torch.manual_seed(SEED)
    vocabulary = tokenizer.load(work)
    texts = data.documents(work)
    windows = {
        v: data.Stream(vocabulary, [d.text for d in texts if d.voice == v and d.part == 'heldout']).windows(WINDOW)
        for v in data.VOICES
    }
    model = load(work)
    table, recorded = perplexities(model, windows)
    samples, excerpts = {}, {}
    for voice in data.VOICES:
        with Speaking(model, voice):
            samples[voice] = sample(model, [0], SAMPLES, LENGTH, temperature=TEMPERATURE, top_k=0, top_p=1.0)
    counts = recognise(model, samples)
    for name in (BASE, *data.VOICES):
        with Speaking(model, name):
            excerpts[name] = [
                opening + vocabulary.decode(sample(model, vocabulary.encode(opening).ids, 1, LENGTH, temperature=TEMPERATURE, top_k=0, top_p=0.95)[0].tolist())
                for opening in OPENINGS
            ]
    report = {
        'heldout': {'tokens': {v: len(w) * (WINDOW - 1) for v, w in windows.items()}, 'perplexity': table},
        'recognition': {'samples': SAMPLES, 'tokens': LENGTH, 'temperature': TEMPERATURE, 'lowest_perplexity_under': counts},
        'excerpts': excerpts,
        'windows': {
            v: [
                {'ids': windows[v][at].tolist(), 'nll': {name: recorded[name][v][i] for name in recorded}}
                for i, at in enumerate(pick(len(windows[v])))
            ]
            for v in data.VOICES
        },
    }
    for name in (BASE, *data.VOICES):
        report['heldout'].setdefault('perplexity_of_windows', {})[name] = {
            v: round(math.exp(sum(recorded[name][v]) / (RECORDED * (WINDOW - 1))), 3) for v in data.VOICES
        }
    # One window a line: readable, and a change shows as one.
    text = json.dumps({k: v for k, v in report.items() if k != 'windows'}, indent=1, ensure_ascii=False)
    rows = ',\n'.join(
        f'  "{v}": [\n' + ',\n'.join('   ' + json.dumps(w, separators=(',', ':')) for w in ws) + '\n  ]' for v, ws in report['windows'].items()
    )
    (work / 'evaluation.json').write_text(text[:-2] + ',\n "windows": {\n' + rows + '\n }\n}\n')


if __name__ == '__main__':
    parser = data.arguments(__doc__)
    parser.add_argument('--samples', type=Path)
    options = parser.parse_args()
    torch.set_num_threads(2)
    if options.samples:
        given = {v: np.array(rows, dtype=np.int64) for v, rows in json.loads(options.samples.read_text()).items()}
        recognise(load(options.work), given)
    else:
        evaluate(options.work)
