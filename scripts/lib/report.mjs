/** How the scripts speak: on stderr, a line at a time, so that stdout belongs to the program they start. */

/** Something the person at the keyboard can mend; printed without a stack. */
export class SetupError extends Error {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options)
    this.name = 'SetupError'
  }
}

/** @param {string} line */
export function say(line) {
  process.stderr.write(`lorikeet: ${line}\n`)
}

/** @param {number} startedMs from `performance.now()` */
export function secondsSince(startedMs) {
  return `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
}

/** @param {unknown} error */
export function reason(error) {
  return error instanceof Error ? error.message : String(error)
}

/**
 * Runs a script's body; its number is the exit code.
 * @param {() => Promise<number>} body
 */
export async function main(body) {
  try {
    process.exitCode = await body()
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say(error.message)
    process.exitCode = 1
  }
}
