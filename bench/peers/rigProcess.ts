/** The other end of a rig (rig.ts): starts its process and asks it one task at a time. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { Introduction, Task, Timing } from './rig.ts'

/** Compiling the first shaders of a kind takes minutes on a software device. */
const PATIENCE_MS = 30 * 60_000

export class RigProcess {
  readonly name: string
  /** What was asked of it, by key of the case. */
  readonly timings: Map<string, Timing[]> = new Map()
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #lines: AsyncIterator<string>
  #said = ''
  #failure: string | null = null
  #who: Introduction | null = null

  private constructor(name: string, child: ChildProcessByStdio<Writable, Readable, Readable>, lines: Interface) {
    this.name = name
    this.#child = child
    this.#lines = lines[Symbol.asyncIterator]()
    child.stderr.on('data', (text) => {
      this.#said = (this.#said + text).slice(-4000)
    })
  }

  /** @throws Error with what the process wrote at last */
  static async start(name: string, [program, ...args]: readonly string[]): Promise<RigProcess> {
    // llama.cpp passes over Vulkan devices that are a CPU unless they are named.
    const env = { GGML_VK_VISIBLE_DEVICES: '0', ...process.env }
    const child = spawn(program!, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
    const rig = new RigProcess(name, child, createInterface({ input: child.stdout }))
    child.once('error', (error) => {
      rig.#said += error.message
    })
    // Of a process that has ended; its lines end too, and that is heard.
    child.stdin.on('error', () => {})
    rig.#who = (await rig.#line()) as Introduction
    return rig
  }

  get who(): Introduction {
    return this.#who!
  }

  /** What it failed of; it answers nothing any more. */
  get failure(): string | null {
    return this.#failure
  }

  /** Null if it failed. */
  async ask(task: Task): Promise<Timing | null> {
    try {
      this.#child.stdin.write(`${JSON.stringify(task)}\n`)
      return (await this.#line()) as Timing
    } catch (error) {
      this.#failure = (error as Error).message
      return null
    }
  }

  async close(): Promise<void> {
    this.#child.stdin.end()
    // A process that a signal ended has no exit code.
    if (this.#failure !== null) return
    if (this.#child.exitCode === null) await new Promise((resolve) => this.#child.once('exit', resolve))
  }

  /** The next line that is JSON; libraries write others. */
  async #line(): Promise<unknown> {
    const late = setTimeout(() => this.#child.kill(), PATIENCE_MS)
    try {
      for (;;) {
        const { value, done } = await this.#lines.next()
        if (done)
          throw new Error(
            `${this.name} ended: ${/^\w*Error.*$/m.exec(this.#said)?.[0] ?? this.#said.trim().slice(-400)}`,
          )
        if (value.startsWith('{"')) return JSON.parse(value)
      }
    } finally {
      clearTimeout(late)
    }
  }
}
