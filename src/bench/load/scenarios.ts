/** The scenarios of multi-LoRA practice: what adapters cost shows only beside the same load without them. */
import { LorikeetError } from '../../errors.ts'

/**
 * `base`: no adapter. `merged`: one adapter folded into the base. `single`: all requests for one adapter. `same-rank` and
 * `mixed-ranks`: many synthetic adapters. `adapters`: those that were named, as they are.
 */
export type ScenarioName = 'base' | 'merged' | 'single' | 'same-rank' | 'mixed-ranks' | 'adapters'

export const SCENARIOS: readonly ScenarioName[] = ['base', 'merged', 'single', 'same-rank', 'mixed-ranks', 'adapters']

/** Something about the benchmark that was asked for cannot be. */
export class BenchError extends LorikeetError {
  readonly code = 'bench'
  override readonly param: string

  constructor(param: string, message: string) {
    super(`${param}: ${message}`)
    this.param = param
  }
}

/** A synthetic adapter that a scenario wants. */
export interface SyntheticWish {
  readonly name: string
  readonly rank: number
}

/** The `count` adapters of a scenario; two scenarios that want one of the same rank and turn share it. */
export function syntheticWishes(scenario: ScenarioName, count: number, ranks: readonly number[]): SyntheticWish[] {
  const wish = (rank: number, turn: number): SyntheticWish => ({ name: `r${rank}-${turn}`, rank })
  const all = Array.from({ length: count }, (_, turn) => turn)
  switch (scenario) {
    case 'single':
      return [wish(ranks[0]!, 0)]
    case 'same-rank':
      return all.map((turn) => wish(ranks[0]!, turn))
    case 'mixed-ranks':
      return all.map((turn) => wish(ranks[turn % ranks.length]!, turn))
    default:
      return []
  }
}

/** What is measured when nobody says what. */
export function defaultScenarios(has: { readonly named: boolean; readonly synthetic: boolean }): ScenarioName[] {
  if (has.named) return ['base', 'merged', 'single', 'adapters']
  return has.synthetic ? ['base', 'merged', 'single', 'same-rank', 'mixed-ranks'] : ['base']
}
