/** How far loading is: a line that rewrites itself on a terminal, else a line every tenth of what takes a while. */
export interface ProgressOptions {
  readonly isTerminal: boolean
  readonly write: (text: string) => void
}

export interface Progress {
  update(done: number, total: number): void
  /** Leaves the cursor at the start of a fresh line. */
  end(): void
}

const BAR_WIDTH = 30
/** Less than this is there before anybody wonders. */
const QUIET_BYTES = 64 * 2 ** 20

export function createProgress(what: string, { isTerminal, write }: ProgressOptions): Progress {
  let shownTenths = 0
  let isOpen = false
  return {
    update(done, total) {
      const part = total > 0 ? Math.min(1, done / total) : 1
      if (isTerminal) {
        const bar = '#'.repeat(Math.round(part * BAR_WIDTH)).padEnd(BAR_WIDTH, '.')
        write(`\r${what} [${bar}] ${Math.floor(part * 100)} % of ${mib(total)}`)
        isOpen = true
        return
      }
      const tenths = Math.floor(part * 10)
      if (tenths <= shownTenths || total < QUIET_BYTES) return
      shownTenths = tenths
      write(`${what}: ${tenths * 10} % of ${mib(total)}\n`)
    },
    end() {
      if (isOpen) write('\n')
      isOpen = false
    },
  }
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}
