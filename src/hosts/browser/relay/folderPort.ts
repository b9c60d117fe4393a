/**
 * A folder that only the page can read (one of its own making) for the worker: the page answers on a port, the worker has
 * a Folder again. Bytes go over as they are asked for, each slice once and without a copy.
 */
import type { Folder } from '../../../weights/folder.ts'
import { type RandomAccess, Source, SourceError, type SourceErrorCode } from '../../../weights/source.ts'
import type { ErrorData } from './protocol.ts'
import { errorData, errorOf } from './remoteError.ts'

type Question =
  | { readonly type: 'open' | 'has'; readonly path: string }
  | { readonly type: 'list' }
  | { readonly type: 'read'; readonly file: number; readonly offset: number; readonly length: number }
  | { readonly type: 'close'; readonly file: number }

interface Opened {
  readonly file: number
  readonly name: string
  readonly size: number
}

interface Asked {
  readonly id: number
  readonly question: Question
}

type Answered = { readonly id: number } & ({ readonly value: unknown } | { readonly error: ErrorData })

/** Answers for `folder` on `port` until the other side closes what it opened and the port with it. */
export function serveFolder(folder: Folder, port: MessagePort): void {
  const files = new Map<number, RandomAccess>()
  let numOpened = 0
  const answer = async (question: Question): Promise<unknown> => {
    switch (question.type) {
      case 'open': {
        const source = await folder.open(question.path)
        const file = numOpened++
        files.set(file, source)
        return { file, name: source.name, size: source.size } satisfies Opened
      }
      case 'has':
        return await folder.has(question.path)
      case 'list':
        return (await folder.list?.()) ?? []
      case 'read':
        return await files.get(question.file)!.read(question.offset, question.length)
      case 'close':
        await files.get(question.file)?.close()
        return files.delete(question.file)
    }
  }
  port.onmessage = ({ data }) => {
    const { id, question } = data as Asked
    answer(question).then(
      (value) => {
        const isWhole = value instanceof Uint8Array && value.byteLength === value.buffer.byteLength
        port.postMessage({ id, value } satisfies Answered, isWhole ? [value.buffer as ArrayBuffer] : [])
      },
      (error: unknown) => port.postMessage({ id, error: errorData(error) } satisfies Answered),
    )
  }
}

/** The folder at the other end of `port`. */
export function portFolder(name: string, canList: boolean, port: MessagePort): Folder {
  const desk = new Desk(port)
  return {
    name,
    async open(path) {
      return new PortSource(desk, (await desk.ask({ type: 'open', path })) as Opened)
    },
    async has(path) {
      return (await desk.ask({ type: 'has', path })) as boolean
    },
    ...(canList && { list: async () => (await desk.ask({ type: 'list' })) as readonly string[] }),
  }
}

/** Questions and the answers they wait for. */
class Desk {
  readonly #port: MessagePort
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  #numAsked = 0

  constructor(port: MessagePort) {
    this.#port = port
    port.onmessage = ({ data }) => {
      const answered = data as Answered
      const waiting = this.#waiting.get(answered.id)
      this.#waiting.delete(answered.id)
      if ('error' in answered) waiting?.reject(sourceErrorOf(answered.error))
      else waiting?.resolve(answered.value)
    }
  }

  ask(question: Question): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.#numAsked++
      this.#waiting.set(id, { resolve, reject })
      this.#port.postMessage({ id, question } satisfies Asked)
    })
  }
}

class PortSource extends Source {
  readonly #desk: Desk
  readonly #file: number

  constructor(desk: Desk, { file, name, size }: Opened) {
    super(name, size)
    this.#desk = desk
    this.#file = file
  }

  protected async fill(offset: number, target: Uint8Array): Promise<void> {
    const bytes = await this.#desk.ask({ type: 'read', file: this.#file, offset, length: target.byteLength })
    target.set(bytes as Uint8Array)
  }

  protected override async release(): Promise<void> {
    await this.#desk.ask({ type: 'close', file: this.#file })
  }
}

/** Readers tell a missing file from an unreadable one by the class and its code, so these two come across as they were. */
function sourceErrorOf(data: ErrorData): Error {
  if (data.name !== 'SourceError') return errorOf(data)
  return new SourceError(data.code as SourceErrorCode, data.param ?? '', data.message)
}
