/** The scripts that answer the lines of docs/performance.md, with the settings for figures to keep and for a quick look. */

/** A run of a script, whose report is `name`.json. */
export interface Piece {
  readonly name: string
  readonly script: string
  /** For figures to keep, and the least that shows that it works. */
  readonly args: readonly string[]
  readonly quick: readonly string[]
  /** Not run by bench/all.ts: it takes what is not part of this repository. */
  readonly isByHand?: true
  /** On the machine of docs/performance.md when nobody else uses it, with `args`. */
  readonly minutes: number
}

export const PIECES: readonly Piece[] = [
  { name: 'counters', script: 'counters', args: [], quick: [], minutes: 0.1 },
  {
    name: 'mixing',
    script: 'mixing',
    args: ['--only=decode', '--rounds=9'],
    quick: ['--only=decode', '--rounds=1', '--steps=1', '--layers=4'],
    minutes: 0.5,
  },
  {
    name: 'mixing-prefill',
    script: 'mixing',
    args: ['--only=prefill', '--rounds=5'],
    quick: ['--only=prefill', '--rounds=1', '--layers=4'],
    minutes: 0.9,
  },
  { name: 'residents', script: 'residents', args: ['--rounds=12'], quick: ['--rounds=1', '--layers=4'], minutes: 0.3 },
  { name: 'distance', script: 'distance', args: ['--rounds=15'], quick: ['--rounds=1'], minutes: 0.3 },
  { name: 'profile', script: 'profile', args: ['--rounds=7'], quick: ['--rounds=1'], minutes: 0.3 },
  { name: 'peers', script: 'peers', args: [], quick: [], isByHand: true, minutes: 20 },
  { name: 'scaling', script: 'scaling', args: ['--rounds=7'], quick: ['--rounds=1', '--layers=4'], minutes: 0.5 },
  {
    name: 'many-adapters-tiny',
    script: 'manyAdapters',
    args: ['--rounds=2', '--requests=2000'],
    quick: ['--rounds=1', '--requests=100', '--registered=240'],
    minutes: 2.7,
  },
  {
    name: 'many-adapters-aviary',
    script: 'manyAdapters',
    args: ['--model=models/aviary', '--registered=400', '--rounds=1', '--requests=400'],
    quick: ['--model=models/aviary', '--registered=40', '--rounds=1', '--requests=40'],
    minutes: 1.6,
  },
  {
    name: 'cold-adapter',
    script: 'coldAdapter',
    args: ['--rounds=5'],
    quick: ['--rounds=1', '--layers=4'],
    minutes: 0.6,
  },
  { name: 'run-ahead', script: 'runAhead', args: ['--rounds=5'], quick: ['--rounds=1'], minutes: 1.2 },
  { name: 'idle', script: 'idle', args: ['--rounds=5'], quick: ['--rounds=1'], minutes: 0.4 },
  { name: 'loading', script: 'loading', args: ['--rounds=7'], quick: ['--rounds=1'], minutes: 0.1 },
  { name: 'first-token', script: 'firstToken', args: ['--rounds=5'], quick: ['--rounds=1'], minutes: 0.8 },
  { name: 'soak', script: 'soak', args: ['--minutes=5'], quick: ['--minutes=0.3'], minutes: 5.1 },
]
