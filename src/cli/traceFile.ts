/** `--trace FILE`: the engine's timeline goes into a file as it happens, so that a process that dies leaves what was. */
import { createWriteStream, openSync, type WriteStream } from 'node:fs'
import { ChromeTrace } from '../engine/chromeTrace.ts'
import type { EngineObserver } from '../engine/observer.ts'
import { LorikeetError } from '../errors.ts'

/** The file cannot be written. */
export class TraceFileError extends LorikeetError {
  readonly code = 'trace_file'
  override readonly param = '--trace'

  constructor(path: string, cause: unknown) {
    super(`--trace ${path} cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

export class TraceFile {
  readonly path: string
  readonly #trace: ChromeTrace
  readonly #stream: WriteStream
  #error: Error | null = null

  /** Replaces a file that is there. @throws TraceFileError */
  constructor(path: string) {
    this.path = path
    try {
      this.#stream = createWriteStream(path, { fd: openSync(path, 'w') })
    } catch (cause) {
      throw new TraceFileError(path, cause)
    }
    // A full disk ends the trace, not the server.
    this.#stream.on('error', (error) => {
      this.#error ??= error
    })
    this.#trace = new ChromeTrace((text) => {
      if (!this.#error) this.#stream.write(text)
    })
  }

  get observer(): EngineObserver {
    return this.#trace
  }

  /** Resolves when everything is on the disk, with what went wrong on the way, if anything did. */
  async close(): Promise<Error | null> {
    this.#trace.end()
    await new Promise<void>((resolve) => {
      this.#stream.once('close', resolve)
      this.#stream.end()
    })
    return this.#error
  }
}
