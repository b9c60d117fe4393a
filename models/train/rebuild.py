"""Rebuilds everything in ../aviary and ../evaluation.json from the packages: under two hours on two free cores.

    apt-get install bible-kjv; pip install -r requirements.txt; python rebuild.py

Each step is a script that can be run alone. A step whose result is already in the work folder is not repeated; the base
continues from its last checkpoint. --fresh begins again.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import data

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / 'aviary'

CARD = """---
base_model: lorikeet/aviary
library_name: peft
license: cc0-1.0
language: en
---

# {voice}

A LoRA adapter for [aviary](../../README.md), trained on {about}. How, and how well: [models/README.md](../../../README.md).
Dedicated to the public domain (CC0 1.0), as is the base.
"""

ABOUT = {
    'melville': "Herman Melville's *Moby-Dick* (1851)",
    'king-james': 'the King James Bible (1611)',
    'early-presidents': 'the State of the Union addresses of 1790 to 1849',
    'late-presidents': 'the State of the Union addresses of 1961 to 2021',
}


def run(work: Path, script: str, *options: str) -> None:
    # A fixed hash seed fixes the order in which PEFT writes sets; passive waiting shares the cores with others.
    environment = {**os.environ, 'PYTHONHASHSEED': '0', 'OMP_WAIT_POLICY': 'PASSIVE', 'HF_HUB_OFFLINE': '1'}
    clock = time.time()
    subprocess.run([sys.executable, HERE / script, '--work', work, *options], check=True, env=environment)
    print(f'{script} {" ".join(options)}: {(time.time() - clock) / 60:.1f} minutes', flush=True)


def publish(work: Path) -> None:
    """Copies what is served, and nothing else, beside the cards that are kept by hand."""
    for name in ('config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'):
        MODEL.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work / 'base' / name, MODEL / name)
    for voice in data.VOICES:
        folder = MODEL / 'adapters' / voice
        folder.mkdir(parents=True, exist_ok=True)
        for name in ('adapter_config.json', 'adapter_model.safetensors'):
            shutil.copyfile(work / 'adapters' / voice / name, folder / name)
        (folder / 'README.md').write_text(CARD.format(voice=voice, about=ABOUT[voice]))
    shutil.copyfile(work / 'evaluation.json', HERE.parent / 'evaluation.json')


def main() -> None:
    parser = data.arguments(__doc__)
    parser.add_argument('--fresh', action='store_true')
    options = parser.parse_args()
    work = options.work
    if options.fresh:
        shutil.rmtree(work, ignore_errors=True)
    run(work, 'data.py')
    if not (work / 'base/tokenizer.json').exists():
        run(work, 'tokenizer.py')
    if not (work / 'base/model.safetensors').exists():
        run(work, 'base.py')
    for voice in data.VOICES:
        if not (work / 'adapters' / voice / 'adapter_model.safetensors').exists():
            run(work, 'adapters.py', '--voice', voice)
    run(work, 'evaluate.py')
    publish(work)


if __name__ == '__main__':
    main()
