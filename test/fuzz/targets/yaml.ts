/** model_config.yaml of NeMo adapters. */
import { MAX_CONFIG_BYTES } from '../../../src/lora/nemo.ts'
import { parseNemoConfig } from '../../../src/lora/nemoConfig.ts'
import { TINY } from '../../lora/makeAdapter.ts'
import type { Dice } from '../dice.ts'
import { mutateText, nested, oddNumber } from '../mutate.ts'
import { must, only, type Target, text } from '../target.ts'

const TOKENS = [
  ...[
    ':',
    ': ',
    '- ',
    '\n',
    '\n  ',
    '\n\n',
    '  ',
    '\t',
    '#',
    ' # ',
    '"',
    "'",
    "''",
    '[',
    ']',
    '{',
    '}',
    ',',
    '|',
    '>',
    '|-',
    '>+',
    '---',
    '...',
    '\r\n',
  ],
  ...[
    '&a',
    '*a',
    '!!python/object',
    '<<: *a',
    '? ',
    '@',
    '`',
    '%',
    '\\',
    '\\x4',
    '\\u00e9',
    '~',
    'null',
    'yes',
    'No',
    '0x10',
    '1_000',
    '.5',
    '1e9',
    '.inf',
  ],
]

export function nemoYaml(dice: Dice): string {
  const lora = [
    `    adapter_dim: ${dice.chance(0.8) ? 2 : JSON.stringify(oddNumber(dice))}`,
    ...(dice.chance(0.5) ? [`    alpha: ${dice.chance(0.8) ? 4 : JSON.stringify(oddNumber(dice))}`] : []),
    ...(dice.chance(0.3) ? [`    variant: ${dice.pick(['nemo', 'canonical', '"x y"', "'a''b'"])}`] : []),
    ...(dice.chance(0.2) ? ['    weight_tying: false', '    position_embedding_strategy: null'] : []),
    ...(dice.chance(0.2) ? ['    target_modules:', '    - attention_qkv', '    - mlp_fc1'] : []),
    ...(dice.chance(0.1) ? ['    target_modules: [a, "b", {c: d}]'] : []),
  ]
  return [
    ...(dice.chance(0.2) ? ['---'] : []),
    ...(dice.chance(0.3)
      ? [`name: ${dice.pick(['x', '"a\\tb"', '|\n  two\n  lines', '>-\n  folded\n\n  text'])}`]
      : []),
    ...(dice.chance(0.3) ? ['tensor_model_parallel_size: 1', 'pipeline_model_parallel_size: 1'] : []),
    ...(dice.chance(0.3) ? ['num_layers: 2', 'hidden_size: 8', 'num_attention_heads: 2', 'num_query_groups: 1'] : []),
    'peft:',
    '  peft_scheme: lora',
    '  lora_tuning:',
    ...lora,
    ...(dice.chance(0.2) ? ['optim:', '  betas: [0.9, 0.98]', '  sched: {name: x, steps: 5}'] : []),
    '',
  ].join('\n')
}

const FULL = MAX_CONFIG_BYTES - 100
const fill = (piece: string): string => piece.repeat(Math.floor(FULL / piece.length))

export const yaml: Target = {
  name: 'yaml',
  make(dice) {
    const honest = nemoYaml(dice)
    return only(text(dice.chance(0.25) ? honest : mutateText(dice, honest, TOKENS, 5)))
  },
  heavy: [
    () => only(text(fill('a:\n'))),
    () => only(text(`a:\n${fill('- \n')}`)),
    () => only(text(`a:\n${fill('- {}\n')}`)),
    () => only(text(`a: [${fill('{},')}]`)),
    () => only(text(`a: [${fill('[],')}]`)),
    () => only(text(`a: ${nested('[', '', ']', FULL / 2)}`)),
    () => only(text(fill('- '))),
    () => only(text(fill('a: '))),
    () => only(text(fill('a:b '))),
    () => only(text(`a: '${fill("''")}`)),
    () => only(text(`a: "${fill('\\"')}`)),
    () => only(text(`a: "${fill('\n')}"`)),
    () => only(text(`a: [${fill("'")}`)),
    () => only(text(`a: |\n${fill('  x\n')}`)),
    () => only(text(`a: >\n${fill('  \n')}`)),
    () => only(text(`a: x\n${fill('  y\n')}`)),
    () => only(text(`a: [x\n${fill('  y\n')}`)),
    () => only(text(`a: "x\n${fill('  y\n')}`)),
    () => only(text(fill('\n'))),
    () => only(text(fill('#\n'))),
    () => only(text(Array.from({ length: 60 }, (_, i) => `${' '.repeat(i)}a:\n`).join('') + fill(' '))),
    () => only(text(Array.from({ length: 12_000 }, (_, i) => `${i.toString(36)}: 1\n`).join(''))),
    () => only(text(Array.from({ length: 12_000 }, (_, i) => `${i.toString(36)}: [1\n`).join(''))),
    () => only(text(Array.from({ length: 12_000 }, (_, i) => `${i.toString(36)}: "1\n`).join(''))),
    () => only(text(Array.from({ length: 12_000 }, (_, i) => `${i.toString(36)}: 'x' y\n`).join(''))),
  ],
  async run(reading) {
    const source = reading.source()
    const written = new TextDecoder().decode(await source.read(0, source.size))
    const { rank, scale } = parseNemoConfig(written, TINY)
    must(Number.isSafeInteger(rank) && rank > 0 && Number.isFinite(scale), 'a rank or a scale that is none')
    return 0
  },
}
