"""The base model: a small Llama trained from scratch on the `base` part of the texts.

Muon for the weight matrices and AdamW for the embedding (and lm_head, tied to it) and the norms; constant learning rate
after a short warm-up, then linear to zero over the last part. Matrix products run in bfloat16, weights stay float32
and are stored as float16. Writes a checkpoint every few minutes and continues from it when started again.
"""

import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

import data
import tokenizer

SEED = 6
STEPS = 2000
BATCH, CONTEXT = 8, 512
WARMUP, DECAY = 100, 0.35  # steps; last fraction of the steps
MUON_LR, ADAM_LR = 4e-3, 3e-3
WEIGHT_DECAY = 0.1
CHECKPOINT_SECONDS = 180
LOG = 40  # steps


def config(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )


def optimizers(model) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and 'embed' not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or 'embed' in n]
    return [
        torch.optim.Muon(matrices, lr=MUON_LR, weight_decay=WEIGHT_DECAY, adjust_lr_fn='match_rms_adamw'),
        torch.optim.AdamW(others, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.01),
    ]


def schedule(step: int, steps: int) -> float:
    return min((step + 1) / WARMUP, 1.0, (steps - step) / (DECAY * steps))


def order(stream: data.Stream, rows: int) -> np.ndarray:
    """Windows of as many shuffled passes as `rows` needs; each pass cuts the stream at another offset."""
    generator = np.random.default_rng(SEED)
    passes, total = [], 0
    while total < rows:
        windows = stream.windows(CONTEXT, int(generator.integers(CONTEXT))).astype(np.int16)
        passes.append(generator.permutation(windows))
        total += len(windows)
    print(f'{len(stream.ids)} tokens, {total / len(windows):.1f} passes', flush=True)
    return np.concatenate(passes)[:rows]


def loss_of(model, ids: torch.Tensor) -> torch.Tensor:
    with torch.autocast('cpu', torch.bfloat16):
        logits = model(ids[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())


def train(work: Path, steps: int) -> None:
    torch.manual_seed(SEED)
    vocabulary = tokenizer.load(work)
    model = LlamaForCausalLM(config(vocabulary.get_vocab_size()))
    opts = optimizers(model)
    texts = data.documents(work)
    rows = order(data.Stream(vocabulary, [d.text for d in texts if d.part == 'base']), steps * BATCH)
    heldout = [
        torch.from_numpy(data.Stream(vocabulary, [d.text for d in texts if d.voice == v and d.part == 'heldout']).windows(256)[:16])
        for v in data.VOICES
    ]

    file, first = work / 'base.ckpt', 0
    if file.exists():
        saved = torch.load(file, weights_only=False)
        first = saved['step']
        model.load_state_dict(saved['model'])
        for opt, state in zip(opts, saved['opts']):
            opt.load_state_dict(state)

    step_loss = torch.compile(lambda ids: loss_of(model, ids))
    clock, cpu, saved_at, losses = time.time(), time.process_time(), time.time(), []
    for step in range(first, steps):
        for opt, lr in zip(opts, (MUON_LR, ADAM_LR)):
            for group in opt.param_groups:
                group['lr'] = lr * schedule(step, steps)
            opt.zero_grad(set_to_none=True)
        loss = step_loss(torch.from_numpy(rows[step * BATCH : (step + 1) * BATCH].astype(np.int64)))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
        losses.append(loss.item())
        if (step + 1) % LOG == 0:
            now, used = time.time(), time.process_time()
            speed = LOG * BATCH * CONTEXT / (now - clock)
            print(f'{step + 1} loss {np.mean(losses):.3f}  {speed:.0f} tokens/s  {used - cpu:.0f} of {now - clock:.0f} s', flush=True)
            clock, cpu, losses = now, used, []
        if time.time() - saved_at > CHECKPOINT_SECONDS or step + 1 == steps:
            with torch.no_grad():
                perplexity = [loss_of(model, w).exp().item() for w in heldout]
            print(step + 1, 'held out', {v: round(p, 1) for v, p in zip(data.VOICES, perplexity)}, flush=True)
            state = {'step': step + 1, 'model': model.state_dict(), 'opts': [o.state_dict() for o in opts]}
            torch.save(state, file.with_suffix('.new'))
            os.replace(file.with_suffix('.new'), file)
            saved_at = time.time()

    model.half().save_pretrained(work / 'base')
    GenerationConfig(
        bos_token_id=0, eos_token_id=1, pad_token_id=2, do_sample=True, temperature=0.8, top_p=0.95
    ).save_pretrained(work / 'base')


if __name__ == '__main__':
    parser = data.arguments(__doc__)
    parser.add_argument('--steps', type=int, default=STEPS)
    options = parser.parse_args()
    torch.set_num_threads(2)
    train(options.work, options.steps)
