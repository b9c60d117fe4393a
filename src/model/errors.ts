/** The error for a model that is well formed and that lorikeet cannot compute. */
import { LorikeetError } from '../errors.ts'
import { shortly } from '../weights/config.ts'
import type { JsonValue } from '../weights/json.ts'

/** A model asks for something that changes its maths and is not implemented. `param` is the field. */
export class UnsupportedModelError extends LorikeetError {
  readonly code = 'unsupported_model'
  readonly file: string
  /** Dotted path of the field. */
  readonly field: string
  readonly value: JsonValue | undefined
  override readonly param: string

  /** `supported` completes a sentence: "Supported: …" or what to do instead. */
  constructor(file: string, field: string, value: JsonValue | undefined, supported: string) {
    super(`${file}: ${field} ${shortly(value)} is not supported. ${supported}.`)
    this.file = file
    this.field = field
    this.value = value
    this.param = field
  }
}
