/**
 * npm run setup: packages and a WebGPU device. `npm start` and `npm test` do the same by themselves.
 *   --again      choose the device anew
 *   --lavapipe   only install the software Vulkan driver lavapipe (needs root and apt)
 */
import { installLavapipe, lavapipeCommand, lavapipeObstacle } from './lib/lavapipe.mjs'
import { main, SetupError } from './lib/report.mjs'
import { setUp } from './lib/setup.mjs'

await main(async () => {
  const args = process.argv.slice(2)
  const unknown = args.find((arg) => arg !== '--again' && arg !== '--lavapipe')
  if (unknown) throw new SetupError(`unknown option ${unknown}. There are --again and --lavapipe.`)
  if (args.includes('--lavapipe')) {
    const obstacle = lavapipeObstacle()
    if (obstacle)
      throw new SetupError(`lavapipe cannot be installed from here: ${obstacle}. Install it ${lavapipeCommand()}`)
    await installLavapipe()
    return 0
  }
  await setUp({ again: args.includes('--again') })
  return 0
})
