/** Web Locks in memory: shared by contexts (tabs, workers) that may die, which gives back what they hold. */

interface Request {
  readonly context: FakeContext
  readonly name: string
  readonly mode: 'exclusive' | 'shared'
  grant(): void
  isHeld: boolean
}

export class FakeLocks {
  #requests: Request[] = []

  /** Another tab or worker. */
  context(): FakeContext {
    return new FakeContext(this)
  }

  request(
    context: FakeContext,
    name: string,
    { mode = 'exclusive', ifAvailable = false, signal }: LockOptions,
    work: (lock: Lock | null) => unknown,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const run = async (lock: Lock | null): Promise<void> => {
        try {
          resolve(await work(lock))
        } catch (error) {
          reject(error)
        }
      }
      const request: Request = {
        ...{ context, name, mode, isHeld: false },
        grant: () => void run({ name, mode }).finally(() => this.#drop((each) => each === request)),
      }
      if (ifAvailable && !this.#isFree(request, this.#requests)) return void run(null)
      this.#requests.push(request)
      signal?.addEventListener('abort', () => {
        if (request.isHeld || !this.#requests.includes(request)) return
        this.#drop((each) => each === request)
        reject(signal.reason)
      })
      this.#settle()
    })
  }

  query(): LockManagerSnapshot {
    const infos = (held: boolean): LockInfo[] =>
      this.#requests.filter(({ isHeld }) => isHeld === held).map(({ name, mode }) => ({ name, mode }))
    return { held: infos(true), pending: infos(false) }
  }

  /** A context is no more: nothing of it is held, nothing waited for. */
  forget(context: FakeContext): void {
    this.#drop((each) => each.context === context)
  }

  #drop(which: (request: Request) => boolean): void {
    this.#requests = this.#requests.filter((each) => !which(each))
    this.#settle()
  }

  /** Grants in the order of asking. As in browsers, nothing is granted before the asker's own code has ended. */
  #settle(): void {
    queueMicrotask(() => {
      for (const [at, request] of this.#requests.entries()) {
        if (request.isHeld || !this.#isFree(request, this.#requests.slice(0, at))) continue
        request.isHeld = true
        request.grant()
      }
    })
  }

  #isFree({ name, mode }: Request, before: readonly Request[]): boolean {
    return before.every((each) => each.name !== name || (mode === 'shared' && each.mode === 'shared'))
  }
}

export class FakeContext {
  readonly #locks: FakeLocks
  #isDead = false

  constructor(locks: FakeLocks) {
    this.#locks = locks
  }

  /** As LockManager has it, with or without options. */
  readonly request = ((
    name: string,
    ...rest: [LockOptions, LockGrantedCallback<unknown>] | [LockGrantedCallback<unknown>]
  ) => {
    const [options, work] = rest.length === 1 ? [{}, rest[0]] : rest
    if (this.#isDead) return new Promise(() => {})
    return this.#locks.request(this, name, options, work as (lock: Lock | null) => unknown)
  }) as unknown as LockManager['request']

  readonly query = async (): Promise<LockManagerSnapshot> => this.#locks.query()

  /** As when its tab is closed. */
  die(): void {
    this.#isDead = true
    this.#locks.forget(this)
  }
}
