/** An error as the command line shows it: what is wrong and what to do, not where in the code it was noticed. */
import { LorikeetError } from '../errors.ts'

/** One or two lines; with `verbose` the stack and the causes too. */
export function describeProblem(error: unknown, verbose: boolean): string {
  if (!(error instanceof Error)) return `lorikeet: ${String(error)}`
  const isOurs = error instanceof LorikeetError && error.status < 500
  const hint = isOurs || verbose ? '' : '\nRun it again with --verbose for the details.'
  return `lorikeet: ${error.message}${hint}${verbose ? `\n\n${details(error)}` : ''}`
}

function details(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${details(error.cause)}` : ''
  return `${error.stack ?? error.message}${cause}`
}
