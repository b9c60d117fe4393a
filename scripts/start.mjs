/** npm start: set-up, build, then the server. Arguments go to `lorikeet serve`: npm start -- --port 9000 */
import { runCommandLine } from './lib/commandLine.mjs'
import { main } from './lib/report.mjs'

await main(() => runCommandLine(['serve', ...process.argv.slice(2)]))
