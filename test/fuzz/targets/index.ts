/** Every reader of hostile input. */
import type { Target } from '../target.ts'
import { adapter } from './adapter.ts'
import { json, modelConfig, peftConfig } from './config.ts'
import { real } from './real.ts'
import { regex } from './regex.ts'
import { checkpoint, safetensors } from './safetensors.ts'
import { tar } from './tar.ts'
import { pickle, torch } from './torch.ts'
import { yaml } from './yaml.ts'
import { zip } from './zip.ts'

export const TARGETS: readonly Target[] = [
  ...[safetensors, checkpoint, zip, torch, pickle, tar],
  ...[json, peftConfig, modelConfig, yaml, regex, adapter, real],
]
