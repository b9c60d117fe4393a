/** The `lorikeet` command: hands the process to the program, and turns what goes wrong into a line and an exit code. */
import { CommanderError } from 'commander'
import { bench } from './bench.ts'
import { kernels } from './benchKernels.ts'
import { doctor } from './doctor.ts'
import { describeProblem } from './problem.ts'
import { createProgram } from './program.ts'
import { serve, type Terminal } from './serve.ts'

const { serve: listen } = await ('Deno' in globalThis
  ? import('../hosts/deno/serve.ts')
  : import('../hosts/node/serve.ts'))

const terminal: Terminal = {
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  pageFolders: [new URL('./demo/', import.meta.url), new URL('../../dist/demo/', import.meta.url)],
  listen,
  modelFolders: [new URL('../models/aviary/', import.meta.url), new URL('../../models/aviary/', import.meta.url)],
  onStop(listener) {
    process.on('SIGINT', listener)
    process.on('SIGTERM', listener)
  },
}

/** Exit code. */
async function run(args: readonly string[]): Promise<number> {
  let exitCode = 0
  const verbose = args.includes('--verbose') || (process.env.DEBUG ?? '') !== ''
  try {
    const program = createProgram({
      serve: (flags) => serve(flags, terminal),
      bench: (flags) => bench(flags, { ...terminal, args }),
      benchKernels: (names, flags) => kernels(names, flags, { ...terminal, args }),
      doctor: async (flags) => {
        exitCode = await doctor(flags, { ...terminal, args, self: [...process.execArgv, process.argv[1]!] })
      },
    })
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    // commander has written its own message or the help.
    if (error instanceof CommanderError) return error.exitCode
    process.stderr.write(`${describeProblem(error, verbose)}\n`)
    return 1
  }
}

process.exitCode = await run(process.argv.slice(2))
