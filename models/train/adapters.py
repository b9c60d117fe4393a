"""Four voices on the base: PEFT LoRA adapters of different rank, reach and kind.

Each trains on all of its voice's texts but the held-out part, half or more of which the base never saw. The base is
read as stored (float16 values), so that an adapter learns on exactly what will be served.
"""

import math
import time
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

import base
import data
import tokenizer

SEED = 6
NAME = 'lorikeet/aviary'  # what the adapters call their base
BATCH, CONTEXT = 16, 256
WARMUP = 20
ALL_LINEAR = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
WEIGHT_DECAY = 0.05

# Each a different shape of adapter: what a server that mixes them in one batch has to cope with.
RECIPES = {
    'melville': dict(r=8, lora_alpha=16, target_modules=ALL_LINEAR, use_dora=True),
    'king-james': dict(r=64, lora_alpha=16, target_modules=['q_proj', 'v_proj'], use_rslora=True),
    'early-presidents': dict(r=16, lora_alpha=32, target_modules=ALL_LINEAR),
    'late-presidents': dict(r=4, lora_alpha=8, target_modules=ALL_LINEAR),
}
STEPS = {'melville': 260, 'king-james': 500, 'early-presidents': 360, 'late-presidents': 360}
RATE = {'melville': 3e-3, 'king-james': 4e-3, 'early-presidents': 3e-3, 'late-presidents': 4e-3}


def rows(stream: data.Stream, count: int) -> np.ndarray:
    generator = np.random.default_rng(SEED)
    passes = []
    while sum(map(len, passes)) < count:
        passes.append(generator.permutation(stream.windows(CONTEXT, int(generator.integers(CONTEXT)))))
    return np.concatenate(passes)[:count]


def train(work: Path, voice: str, steps: int) -> None:
    torch.manual_seed(SEED)
    vocabulary = tokenizer.load(work)
    model = LlamaForCausalLM.from_pretrained(work / 'base', dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(task_type='CAUSAL_LM', lora_dropout=0.0, bias='none', **RECIPES[voice]))
    model.peft_config['default'].base_model_name_or_path = NAME
    mine = [d for d in data.documents(work) if d.voice == voice]
    stream = data.Stream(vocabulary, [d.text for d in mine if d.part != 'heldout'])
    batches = torch.from_numpy(rows(stream, steps * BATCH))
    heldout = torch.from_numpy(data.Stream(vocabulary, [d.text for d in mine if d.part == 'heldout']).windows(CONTEXT)[::4][:32])

    def perplexity() -> float:
        with torch.no_grad():
            return base.loss_of(model, heldout).exp().item()

    parameters = [p for p in model.parameters() if p.requires_grad]
    count = sum(p.numel() for p in parameters)
    print(f'{voice}: {count} parameters, {len(stream.ids)} tokens, held out {perplexity():.1f}', flush=True)
    optimizer = torch.optim.AdamW(parameters, lr=RATE[voice], betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
    step_loss = torch.compile(lambda ids: base.loss_of(model, ids))
    clock, losses = time.time(), []
    for step in range(steps):
        # Warm-up, then half a cosine down to zero.
        scale = min((step + 1) / WARMUP, 0.5 + 0.5 * math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group['lr'] = RATE[voice] * scale
        optimizer.zero_grad(set_to_none=True)
        loss = step_loss(batches[step * BATCH : (step + 1) * BATCH])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % 60 == 0 or step + 1 == steps:
            print(f'{step + 1} loss {np.mean(losses):.3f}  held out {perplexity():.1f}  {time.time() - clock:.0f} s', flush=True)
            losses = []

    folder = work / 'adapters' / voice
    model.save_pretrained(folder, save_embedding_layers=False)
    weights = folder / 'adapter_model.safetensors'
    save_file({k: v.half().contiguous() for k, v in load_file(weights).items()}, weights, metadata={'format': 'pt'})


if __name__ == '__main__':
    parser = data.arguments(__doc__)
    parser.add_argument('--voice', choices=data.VOICES, action='append')
    parser.add_argument('--steps', type=int)
    options = parser.parse_args()
    torch.set_num_threads(2)
    for voice in options.voice or data.VOICES:
        train(options.work, voice, options.steps or STEPS[voice])
