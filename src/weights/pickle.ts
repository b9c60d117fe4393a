/**
 * A pickle reader that runs nothing. A pickle is a program for a stack machine that may call anything by name; here a
 * name is looked up in a short list of the caller's, and a call is a function of that list. What is not on the list, and
 * every opcode that a file of tensors does not need, ends the reading with an error that names it.
 */
import { LorikeetError } from '../errors.ts'

/** The pickle is broken, too large, or asks for something outside the list. `param` is what it asked for, else the file. */
export class PickleError extends LorikeetError {
  readonly code = 'pickle_refused'
  override readonly param: string

  constructor(file: string, problem: string, param: string = file) {
    super(`${file} was not read: ${problem}.`)
    this.param = param
  }
}

export type PickleValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | PickleTuple
  | PickleList
  | PickleDict
  | PickleGlobal
  | object

export class PickleTuple {
  readonly items: readonly PickleValue[]
  constructor(items: readonly PickleValue[]) {
    this.items = items
  }
}

export class PickleList {
  readonly items: PickleValue[] = []
}

export class PickleDict {
  /** Made on the first write: files hold thousands of empty ones. */
  #entries: Map<PickleValue, PickleValue> | null = null

  get size(): number {
    return this.#entries?.size ?? 0
  }

  set(key: PickleValue, value: PickleValue): void {
    this.#entries ??= new Map()
    this.#entries.set(key, value)
  }

  entries(): Iterable<readonly [PickleValue, PickleValue]> {
    return this.#entries ?? []
  }
}

/** Something the pickle may name. */
export interface PickleGlobal {
  readonly global: string
  /** What calling it does; absent for one that may only be named. May throw PickleError. */
  readonly call?: (args: readonly PickleValue[]) => PickleValue
}

export interface PickleHost {
  /** Name of the file, for messages. */
  readonly file: string
  /** `module.name` to what it stands for here; undefined refuses it. */
  global(name: string): PickleGlobal | undefined
  /** What a persistent id stands for. May throw PickleError. */
  persistent(id: PickleValue): PickleValue
}

/** A tensor takes some two dozen opcodes; this is room for four thousand, and bounds what a hostile pickle can allocate. */
const MAX_OPCODES = 100_000
const MAX_INTEGER_BYTES = 8
const HIGHEST_PROTOCOL = 5
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Runs the pickle and answers the value it leaves. @throws PickleError */
export function unpickle(bytes: Uint8Array, host: PickleHost): PickleValue {
  return new Machine(bytes, host).run()
}

const MARK: unique symbol = Symbol('mark')
type StackItem = PickleValue | typeof MARK

class Machine {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #host: PickleHost
  readonly #stack: StackItem[] = []
  readonly #memo = new Map<number, PickleValue>()
  #at = 0

  constructor(bytes: Uint8Array, host: PickleHost) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#host = host
  }

  run(): PickleValue {
    for (let steps = 0; steps < MAX_OPCODES; steps++) {
      const opcode = this.#bytes[this.#take(1)]!
      if (opcode === STOP) return this.#pop()
      const step = OPCODES.get(opcode)
      if (!step)
        return this.fail(
          `its pickle uses opcode 0x${opcode.toString(16).padStart(2, '0')}, which a file of tensors does not need`,
        )
      step(this)
    }
    return this.fail(`its pickle has more than ${MAX_OPCODES} steps`)
  }

  // Reading the operands of an opcode.

  uint8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4), true)
  }

  uint64(): number {
    const value = Number(this.#view.getBigUint64(this.#take(8), true))
    return Number.isSafeInteger(value) ? value : this.fail('its pickle claims an impossible length')
  }

  float64(): number {
    return this.#view.getFloat64(this.#take(8), false)
  }

  /** A little-endian two's complement integer. */
  long(length: number): number {
    if (length > MAX_INTEGER_BYTES) this.fail('its pickle holds an integer beyond 64 bits')
    const start = this.#take(length)
    let value = 0n
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[start + i]!)
    const number = Number(BigInt.asIntN(8 * length, value))
    return Number.isSafeInteger(number) ? number : this.fail('its pickle holds an integer beyond 53 bits')
  }

  raw(length: number): Uint8Array {
    const start = this.#take(length)
    return this.#bytes.slice(start, start + length)
  }

  text(length: number): string {
    const start = this.#take(length)
    try {
      return UTF8.decode(this.#bytes.subarray(start, start + length))
    } catch {
      return this.fail('its pickle holds text that is not UTF-8')
    }
  }

  line(): string {
    const end = this.#bytes.indexOf(10, this.#at)
    if (end < 0) return this.fail('its pickle ends too early')
    const text = this.text(end - this.#at)
    this.#at++
    return text
  }

  // The stack and the memo.

  push(value: PickleValue): void {
    this.#stack.push(value)
  }

  mark(): void {
    this.#stack.push(MARK)
  }

  pop(): PickleValue {
    return this.#pop()
  }

  top(): PickleValue {
    const value = this.#stack.at(-1)
    return value === undefined || value === MARK ? this.fail('its pickle takes from an empty stack') : value
  }

  /** Everything above the last mark, which goes too. */
  popMark(): PickleValue[] {
    const at = this.#stack.lastIndexOf(MARK)
    if (at < 0) return this.fail('its pickle takes from an empty stack')
    const values = this.#stack.splice(at)
    return values.slice(1) as PickleValue[]
  }

  remember(key: number = this.#memo.size): void {
    this.#memo.set(key, this.top())
  }

  recall(key: number): void {
    const value = this.#memo.get(key)
    if (value === undefined) this.fail('its pickle recalls what it never kept')
    this.push(value)
  }

  // What values do.

  protocol(version: number): void {
    if (version > HIGHEST_PROTOCOL) this.fail(`its pickle has protocol ${version}`)
  }

  global(module: PickleValue, name: PickleValue): void {
    if (typeof module !== 'string' || typeof name !== 'string') this.fail('its pickle has a name that is no text')
    const wanted = `${module}.${name}`
    const found = this.#host.global(wanted)
    if (!found) {
      const shown = wanted.slice(0, 120)
      const problem = `its pickle asks for ${JSON.stringify(shown)}, which no file of tensors needs; nothing of it was run`
      throw new PickleError(this.#host.file, problem, shown)
    }
    this.push(found)
  }

  reduce(): void {
    const args = this.pop()
    const callable = this.pop()
    if (!(args instanceof PickleTuple) || !isGlobal(callable) || !callable.call) {
      this.fail('its pickle calls something that cannot be called')
    }
    this.push(callable.call(args.items))
  }

  persistent(): void {
    this.push(this.#host.persistent(this.pop()))
  }

  append(values: readonly PickleValue[]): void {
    const list = this.top()
    if (!(list instanceof PickleList)) this.fail('its pickle appends to what is not a list')
    for (const value of values) list.items.push(value)
  }

  setItems(values: readonly PickleValue[]): void {
    const dict = this.top()
    if (!(dict instanceof PickleDict) || values.length % 2 !== 0) {
      this.fail('its pickle sets items of what is not a dict')
    }
    for (let i = 0; i < values.length; i += 2) dict.set(values[i]!, values[i + 1]!)
  }

  /** Attributes of a dict (`_metadata` of a state dict) say nothing about its tensors. */
  build(): void {
    this.pop()
    if (!(this.top() instanceof PickleDict)) this.fail('its pickle sets attributes of what is not a dict')
  }

  fail(problem: string): never {
    throw new PickleError(this.#host.file, problem)
  }

  #pop(): PickleValue {
    const value = this.top()
    this.#stack.pop()
    return value
  }

  /** Moves on by `length` bytes and answers where they begin. */
  #take(length: number): number {
    const start = this.#at
    if (start + length > this.#bytes.byteLength) this.fail('its pickle ends too early')
    this.#at = start + length
    return start
  }
}

function isGlobal(value: PickleValue): value is PickleGlobal {
  return typeof value === 'object' && value !== null && 'global' in value
}

const STOP = 0x2e

/** Opcodes by their byte; names as in Python's pickletools. */
const OPCODES: ReadonlyMap<number, (machine: Machine) => void> = new Map<number, (machine: Machine) => void>([
  [0x80, (m) => m.protocol(m.uint8())], // PROTO
  [0x95, (m) => void m.uint64()], // FRAME
  [0x28, (m) => m.mark()], // MARK
  [0x30, (m) => void m.pop()], // POP
  [0x31, (m) => void m.popMark()], // POP_MARK
  [0x4e, (m) => m.push(null)], // NONE
  [0x88, (m) => m.push(true)], // NEWTRUE
  [0x89, (m) => m.push(false)], // NEWFALSE
  [0x4b, (m) => m.push(m.uint8())], // BININT1
  [0x4d, (m) => m.push(m.uint16())], // BININT2
  [0x4a, (m) => m.push(m.int32())], // BININT
  [0x8a, (m) => m.push(m.long(m.uint8()))], // LONG1
  [0x47, (m) => m.push(m.float64())], // BINFLOAT
  [0x58, (m) => m.push(m.text(m.uint32()))], // BINUNICODE
  [0x8c, (m) => m.push(m.text(m.uint8()))], // SHORT_BINUNICODE
  [0x8d, (m) => m.push(m.text(m.uint64()))], // BINUNICODE8
  [0x42, (m) => m.push(m.raw(m.uint32()))], // BINBYTES
  [0x43, (m) => m.push(m.raw(m.uint8()))], // SHORT_BINBYTES
  [0x29, (m) => m.push(new PickleTuple([]))], // EMPTY_TUPLE
  [0x74, (m) => m.push(new PickleTuple(m.popMark()))], // TUPLE
  [0x85, (m) => m.push(new PickleTuple([m.pop()]))], // TUPLE1
  [0x86, (m) => m.push(new PickleTuple([m.pop(), m.pop()].reverse()))], // TUPLE2
  [0x87, (m) => m.push(new PickleTuple([m.pop(), m.pop(), m.pop()].reverse()))], // TUPLE3
  [0x5d, (m) => m.push(new PickleList())], // EMPTY_LIST
  [0x61, (m) => m.append([m.pop()])], // APPEND
  [0x65, (m) => m.append(m.popMark())], // APPENDS
  [0x7d, (m) => m.push(new PickleDict())], // EMPTY_DICT
  [0x73, (m) => m.setItems([m.pop(), m.pop()].reverse())], // SETITEM
  [0x75, (m) => m.setItems(m.popMark())], // SETITEMS
  [0x63, (m) => m.global(m.line(), m.line())], // GLOBAL
  [
    0x93, // STACK_GLOBAL
    (m) => {
      const name = m.pop()
      m.global(m.pop(), name)
    },
  ],
  [0x52, (m) => m.reduce()], // REDUCE
  [0x62, (m) => m.build()], // BUILD
  [0x51, (m) => m.persistent()], // BINPERSID
  [0x71, (m) => m.remember(m.uint8())], // BINPUT
  [0x72, (m) => m.remember(m.uint32())], // LONG_BINPUT
  [0x94, (m) => m.remember()], // MEMOIZE
  [0x68, (m) => m.recall(m.uint8())], // BINGET
  [0x6a, (m) => m.recall(m.uint32())], // LONG_BINGET
])
