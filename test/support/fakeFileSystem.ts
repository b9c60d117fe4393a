/** The part of the origin private file system that is used, in memory: directories, files, and one writer for each file. */

interface FakeFile {
  bytes: Uint8Array<ArrayBuffer>
  size: number
  writer: object | null
}

/** Room that all files of a tree share. */
export interface FakeDisk {
  capacity: number
}

export class FakeDirectory {
  readonly kind = 'directory'
  readonly name: string
  readonly #disk: FakeDisk
  readonly #root: FakeDirectory
  readonly #entries = new Map<string, FakeDirectory | FakeFileHandle>()

  constructor(name = '', disk: FakeDisk = { capacity: Number.POSITIVE_INFINITY }, root?: FakeDirectory) {
    this.name = name
    this.#disk = disk
    this.#root = root ?? this
  }

  /** As the type that is asked for. */
  get handle(): FileSystemDirectoryHandle {
    return this as unknown as FileSystemDirectoryHandle
  }

  get bytes(): number {
    let sum = 0
    for (const entry of this.#entries.values()) sum += entry instanceof FakeDirectory ? entry.bytes : entry.file.size
    return sum
  }

  /** Bytes that can still be written anywhere below the root. */
  get room(): number {
    return this.#disk.capacity - this.#root.bytes
  }

  async getDirectoryHandle(name: string, { create = false }: { create?: boolean } = {}): Promise<FakeDirectory> {
    const found = this.#entries.get(name)
    if (found instanceof FakeDirectory) return found
    if (found) throw new DOMException('it is a file', 'TypeMismatchError')
    if (!create) throw new DOMException(`no ${name}`, 'NotFoundError')
    const made = new FakeDirectory(name, this.#disk, this.#root)
    this.#entries.set(name, made)
    return made
  }

  async getFileHandle(name: string, { create = false }: { create?: boolean } = {}): Promise<FakeFileHandle> {
    const found = this.#entries.get(name)
    if (found instanceof FakeFileHandle) return found
    if (found) throw new DOMException('it is a directory', 'TypeMismatchError')
    if (!create) throw new DOMException(`no ${name}`, 'NotFoundError')
    const made = new FakeFileHandle(name, this.#root)
    this.#entries.set(name, made)
    return made
  }

  async removeEntry(name: string, { recursive = false }: { recursive?: boolean } = {}): Promise<void> {
    const found = this.#entries.get(name)
    if (!found) throw new DOMException(`no ${name}`, 'NotFoundError')
    if (found.hasWriters) throw new DOMException('it is being written', 'NoModificationAllowedError')
    if (found instanceof FakeDirectory && found.#entries.size > 0 && !recursive) {
      throw new DOMException('it is not empty', 'InvalidModificationError')
    }
    this.#entries.delete(name)
  }

  get hasWriters(): boolean {
    return [...this.#entries.values()].some((entry) => entry.hasWriters)
  }

  /** As when a tab dies: what it had open to write is closed. */
  closeWriters(): void {
    for (const entry of this.#entries.values()) {
      if (entry instanceof FakeDirectory) entry.closeWriters()
      else entry.file.writer = null
    }
  }

  async *entries(): AsyncGenerator<[string, FakeDirectory | FakeFileHandle]> {
    yield* [...this.#entries]
  }

  async *keys(): AsyncGenerator<string> {
    yield* [...this.#entries.keys()]
  }
}

class FakeFileHandle {
  readonly kind = 'file'
  readonly name: string
  readonly file: FakeFile = { bytes: new Uint8Array(0), size: 0, writer: null }
  readonly #root: FakeDirectory

  constructor(name: string, root: FakeDirectory) {
    this.name = name
    this.#root = root
  }

  get hasWriters(): boolean {
    return this.file.writer !== null
  }

  async getFile(): Promise<File> {
    return new File([this.file.bytes.slice(0, this.file.size)], this.name)
  }

  async createSyncAccessHandle(): Promise<object> {
    const { file } = this
    if (file.writer) throw new DOMException('it is being written', 'NoModificationAllowedError')
    const check = (): void => {
      if (file.writer !== writer) throw new DOMException('it was closed', 'InvalidStateError')
    }
    const room = (): number => this.#root.room
    const writer = {
      read(target: Uint8Array, { at }: { at: number }): number {
        check()
        const part = file.bytes.subarray(at, Math.min(file.size, at + target.byteLength))
        target.set(part)
        return part.byteLength
      },
      write(bytes: Uint8Array, { at }: { at: number }): number {
        check()
        const end = at + bytes.byteLength
        if (end - file.size > room()) throw new DOMException('the disk is full', 'QuotaExceededError')
        if (end > file.bytes.byteLength) {
          const larger = new Uint8Array(end * 2)
          larger.set(file.bytes)
          file.bytes = larger
        }
        file.bytes.set(bytes, at)
        file.size = Math.max(file.size, end)
        return bytes.byteLength
      },
      truncate(size: number): void {
        check()
        file.bytes.fill(0, size)
        file.size = Math.min(file.size, size)
      },
      getSize: () => file.size,
      flush: check,
      close(): void {
        if (file.writer === writer) file.writer = null
      },
    }
    file.writer = writer
    return writer
  }
}
