/** npm run lorikeet -- COMMAND …: the command line of this checkout, with set-up and build where needed. */
import { runCommandLine } from './lib/commandLine.mjs'
import { main } from './lib/report.mjs'

await main(() => runCommandLine(process.argv.slice(2)))
