/**
 * The lines of docs/performance.md: what each asks for, which script answers it, and where the answer stands in the
 * script's report. bench/all.ts prints its table by this list, bench/plots.ts writes the document's.
 */
import { numberAt, numbersAt } from './json.ts'
import { overPeers } from './peerReaders.ts'
import {
  addedBy,
  against4,
  exact,
  growth,
  IDLE,
  JAVASCRIPT,
  late,
  lowestRise,
  pair,
  quotient,
  type Read,
  ratio,
} from './readers.ts'

/** What is asked for. */
export type Aim = { readonly least: number } | { readonly most: number } | { readonly exactly: number }

export interface Line {
  readonly line: string
  /** Its section in docs/performance.md. */
  readonly section: string
  readonly measure: string
  readonly unit?: string
  /** Null: it is only to be stated. */
  readonly aim: Aim | null
  /** Of bench/support/pieces.ts. */
  readonly piece: string
  readonly read: Read
}

const PRICES = 's1-s2-s3-the-price-of-mixing'
const PEERS = 's4-s5-s6-beside-other-runtimes'
const GROWTH = 's8-s15-rows-and-context'
const MANY = 's9-many-adapters'
const COLD = 's10-a-cold-adapter'
const COUNTERS = 's11-counters'
const AHEAD = 's12-running-ahead'
const LOADING = 's13-loading'
const START = 's14-first-answer'

export const LINES: readonly Line[] = [
  {
    line: 'S1',
    section: PRICES,
    measure: 'decoding: 8 rows of 8 adapters of rank 16 over 8 base rows',
    aim: { least: 0.9 },
    piece: 'mixing',
    read: ratio('S1 decode, 8 rows of 8 adapters r=16'),
  },
  {
    line: 'S1',
    section: PRICES,
    measure: 'the same with rank 64',
    aim: { least: 0.75 },
    piece: 'mixing',
    read: ratio('S1 decode, 8 rows of 8 adapters r=64'),
  },
  {
    line: 'S2',
    section: PRICES,
    measure: 'commands and uploads of a base step that 100 idle adapters on the GPU add',
    aim: { exactly: 0 },
    piece: 'residents',
    read: (json) => ({ exact: addedBy(json, 'none', 'hundred') }),
  },
  {
    line: 'S2',
    section: PRICES,
    measure: 'rate of that step over one without adapters',
    aim: null,
    piece: 'residents',
    read: ratio('S2 base step'),
  },
  {
    line: 'S3',
    section: PRICES,
    measure: 'prefill: 8 x 64 tokens of 8 adapters of rank 16 over base',
    aim: { least: 0.95 },
    piece: 'mixing-prefill',
    read: ratio('S3 prefill'),
  },
  {
    line: 'S4',
    section: PEERS,
    measure: 'decoding, one row, over the best peer on the same device',
    aim: { least: 2.5 },
    piece: 'peers',
    read: overPeers('S4 decode, 1 stream'),
  },
  {
    line: 'S5',
    section: PEERS,
    measure: 'decoding, 8 rows of 8 adapters, over the best batch of a peer',
    aim: { least: 3 },
    piece: 'peers',
    read: overPeers('S5 decode, 8 streams, 8 adapters'),
  },
  {
    line: 'S6',
    section: PEERS,
    measure: 'prefill of 512 tokens over the best peer',
    aim: { least: 1.3 },
    piece: 'peers',
    read: overPeers('S6 prefill of 512'),
  },
  {
    line: 'S7',
    section: 's7-distance-from-the-device',
    measure: 'weights a second: a step of one row over its best matrix alone',
    aim: { least: 0.8 },
    piece: 'distance',
    read: (json) => ({
      best: numberAt(json, 'best', 'S7 of the best'),
      median: numberAt(json, 'median', 'S7 of the best'),
      cpu: numberAt(json, 'cpu', 'S7 of the best'),
    }),
  },
  {
    line: 'S8',
    section: GROWTH,
    measure: 'tokens a second: 16 rows over 1',
    aim: { least: 2 },
    piece: 'scaling',
    read: (json) => ({
      best: numberAt(json, 'S8 16 rows', 'best'),
      median: numberAt(json, 'S8 16 rows', 'median'),
      cpu: numberAt(json, 'S8 16 rows', 'cpu'),
    }),
  },
  {
    line: 'S8',
    section: GROWTH,
    measure: 'tokens a second: the worst of each number of rows over half as many',
    aim: { least: 1 },
    piece: 'scaling',
    read: (json) => ({
      best: lowestRise(json, 'tokensPerSecondBest'),
      median: lowestRise(json, 'tokensPerSecondMedian'),
      cpu: lowestRise(json, 'tokensPerCpuSecond'),
    }),
  },
  {
    line: 'S9',
    section: MANY,
    measure: 'throughput: 32 hot adapters of 1,000 over 4, tiny model',
    aim: { least: 0.95 },
    piece: 'many-adapters-tiny',
    read: against4('S9 32 hot'),
  },
  {
    line: 'S9',
    section: MANY,
    measure: 'the same, 200 hot take four fifths',
    aim: null,
    piece: 'many-adapters-tiny',
    read: against4('S9 200 hot'),
  },
  {
    line: 'S9',
    section: MANY,
    measure: 'throughput: 32 hot adapters of 400 over 4, aviary',
    aim: { least: 0.95 },
    piece: 'many-adapters-aviary',
    read: against4('S9 32 hot'),
  },
  {
    line: 'S10',
    section: COLD,
    measure: 'steps that those who run lose to a cold adapter',
    aim: { most: 1 },
    piece: 'cold-adapter',
    read: pair('S10 extra'),
  },
  {
    line: 'S10',
    section: COLD,
    measure: 'the same when it is read from files',
    aim: { most: 1 },
    piece: 'cold-adapter',
    read: pair('S10 the same when'),
  },
  {
    line: 'S10',
    section: COLD,
    measure: 'bytes a second of its upload over bare uploads',
    aim: { least: 0.8 },
    piece: 'cold-adapter',
    read: pair('S10 upload'),
  },
  {
    line: 'S11',
    section: COUNTERS,
    measure: 'dispatches a layer, base rows',
    aim: { most: 10 },
    piece: 'counters',
    read: exact('S11 base dispatches'),
  },
  {
    line: 'S11',
    section: COUNTERS,
    measure: 'dispatches a layer that adapters add',
    aim: { most: 8 },
    piece: 'counters',
    read: exact('S11 LoRA dispatches'),
  },
  ...(['passes', 'submits', 'tableUploads'] as const).map(
    (key): Line => ({
      line: 'S11',
      section: COUNTERS,
      measure: { passes: 'compute passes a step', submits: 'submits a step', tableUploads: 'table uploads a step' }[
        key
      ],
      aim: { exactly: 1 },
      piece: 'counters',
      read: exact('S11 step of 8 adapters', key),
    }),
  ),
  {
    line: 'S12',
    section: AHEAD,
    measure: 'JavaScript a step of 16 sequences, without encoding',
    unit: 'ms',
    aim: { most: 0.5 },
    piece: 'run-ahead',
    read: (json) => ({ median: numberAt(json, ...JAVASCRIPT, 'medianMsWithoutEncoding') }),
  },
  {
    line: 'S12',
    section: AHEAD,
    measure: 'encoding of a dispatch',
    unit: 'us',
    aim: { most: 3 },
    piece: 'run-ahead',
    read: (json) => ({ median: numberAt(json, ...JAVASCRIPT, 'microsecondsPerDispatch') }),
  },
  {
    line: 'S12',
    section: AHEAD,
    measure: 'rate with results 10 and 100 ms late over what is possible, null backend, the worse',
    aim: { least: 0.9 },
    piece: 'run-ahead',
    read: late('null backend', 'rates'),
  },
  {
    line: 'S12',
    section: AHEAD,
    measure: 'the same on the device',
    aim: { least: 0.9 },
    piece: 'run-ahead',
    read: late('device', 'rates'),
  },
  {
    line: 'S12',
    section: AHEAD,
    measure: 'share of all time in which the device is idle',
    aim: { most: 0.05 },
    piece: 'idle',
    read: (json) => ({
      best: numberAt(json, ...IDLE, 'bestRound'),
      exact: numberAt(json, ...IDLE, 'all'),
    }),
  },
  {
    line: 'S13',
    section: LOADING,
    measure: 'time of loading over bare uploads of as many bytes',
    aim: { most: 1.4 },
    piece: 'loading',
    read: pair('S13 loading'),
  },
  {
    line: 'S13',
    section: LOADING,
    measure: 'most JavaScript memory above the start, worst round',
    unit: 'MiB',
    aim: { most: 100 },
    piece: 'loading',
    read: (json) => ({ exact: numberAt(json, 'S13 most', 'worst') }),
  },
  {
    line: 'S14',
    section: START,
    measure: 'start to first token, empty driver cache',
    unit: 's',
    aim: { most: 5 },
    piece: 'first-token',
    read: pair('cold', 'firstToken'),
  },
  {
    line: 'S14',
    section: START,
    measure: 'the same, later starts',
    unit: 's',
    aim: { most: 2 },
    piece: 'first-token',
    read: pair('warm', 'firstToken'),
  },
  {
    line: 'S15',
    section: GROWTH,
    measure: 'cost of a token of context, 2,048 to 4,096 over 1,024 to 2,048',
    aim: null,
    piece: 'scaling',
    read: (json) => ({
      best: growth(json, 'msBest'),
      median: growth(json, 'msMedian'),
      cpu: growth(json, 'cpuMs'),
    }),
  },
  {
    line: 'S15',
    section: GROWTH,
    measure: 'JavaScript heap in the last quarter of a load over the second',
    aim: { most: 1.02 },
    piece: 'soak',
    read: (json) => ({
      exact: quotient(numberAt(json, 'heap', 'lastQuarterMiB'), numberAt(json, 'heap', 'secondQuarterMiB')),
    }),
  },
  {
    line: 'S15',
    section: GROWTH,
    measure: 'different numbers of GPU bytes held during it',
    aim: { exactly: 1 },
    piece: 'soak',
    read: (json) => ({ exact: numbersAt(json, 'ledgerBytes').length || null }),
  },
]
