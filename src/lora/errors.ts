/**
 * The errors of reading and holding adapters. One class, many codes: what a client does about a refused adapter is
 * always the same (fix the files, or the flag), so the code, the parameter and the message tell them apart, not the type.
 */
import { asParam, LorikeetError } from '../errors.ts'

export { shown } from '../errors.ts'

/** Why an adapter was refused; stable, part of the API. */
export type AdapterRefusal =
  /** adapter_config.json is not there. */
  | 'adapter_config_missing'
  /** adapter_config.json is not JSON, not an object, or a field has a wrong type or value. */
  | 'adapter_config_invalid'
  /** A real feature of adapters that this version does not compute. */
  | 'adapter_unsupported'
  /** The adapter only means something beside a base whose weights were changed when it was made. */
  | 'adapter_changed_base'
  /** A regular expression of the config is broken, unsupported, or too expensive. */
  | 'adapter_pattern_invalid'
  /** The config targets nothing in this base, or something that cannot be adapted. */
  | 'adapter_target_invalid'
  /** There is no file with weights, or it holds none. */
  | 'adapter_weights_missing'
  /** A tensor nobody would read: PEFT ignores it in silence, lorikeet does not. */
  | 'adapter_tensor_unexpected'
  /** A tensor that the others or the config ask for is not there. */
  | 'adapter_tensor_missing'
  /** The same tensor under two names. */
  | 'adapter_tensor_duplicate'
  /** A shape that does not fit the base: most often an adapter for another one. */
  | 'adapter_shape_mismatch'
  /** The rank of the tensors is not the rank of the config, or A and B disagree. */
  | 'adapter_rank_mismatch'
  /** The rank is beyond the limit this server was started with. */
  | 'adapter_rank_too_large'
  /** The tensors take more bytes than this server was told to accept. */
  | 'adapter_too_large'
  /** Weights that are not F32, F16 or BF16. */
  | 'adapter_dtype_unsupported'
  /** NaN or infinity in the weights. */
  | 'adapter_not_finite'

/**
 * Refusals that a caller can know better about, and then say so. What files alone decide (shapes, ranks, NaN) is not among
 * them: nobody can know a broken file to be right.
 */
export const ACCEPTABLE_REFUSALS = ['adapter_changed_base'] as const
export type AcceptableRefusal = (typeof ACCEPTABLE_REFUSALS)[number]

/** The adapter cannot be computed exactly as PEFT computes it, so it is not computed at all. Status 400. */
export class AdapterRefusedError extends LorikeetError {
  readonly code: AdapterRefusal
  /** The field of adapter_config.json, the tensor, or the file at fault. */
  override readonly param: string

  constructor(code: AdapterRefusal, param: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.param = param
  }
}

/** A refusal about one tensor. */
export function tensorRefusal(code: AdapterRefusal, tensor: string, message: string): AdapterRefusedError {
  return new AdapterRefusedError(code, asParam(tensor), message)
}
