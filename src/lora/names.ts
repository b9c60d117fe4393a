/** What an adapter may be called, and what is wrong with a name that it may not have. */
import { LorikeetError } from '../errors.ts'

/** The name is taken, or is not one an adapter may have. */
export class AdapterNameError extends LorikeetError {
  readonly code: string = 'adapter_name'
  override readonly param = 'lora_name'
  override readonly status: number

  constructor(message: string, status = 400) {
    super(message)
    this.status = status
  }
}

/** An adapter of this name is there already, and was not to be replaced. */
export class AdapterExistsError extends AdapterNameError {
  override readonly code = 'adapter_exists'

  constructor(name: string) {
    super(`The lora adapter '${name}' has already been loaded.`, 409)
  }
}

/** So many adapters are pinned that another would leave no place for the rest. */
export class TooManyPinnedError extends LorikeetError {
  readonly code = 'too_many_pinned'
  override readonly param = 'pinned'

  constructor(name: string, maxSlots: number) {
    super(
      `'${name}' cannot be pinned: of the ${maxSlots} adapters that the GPU holds at once, one place stays free for those that are not. Load it unpinned, or raise --max-loras.`,
    )
  }
}

/** 1 to 128 of letters, digits and ._-/@, no leading dot. */
const NAME = /^[A-Za-z0-9_\-/@][A-Za-z0-9._\-/@]{0,127}$/

/** @throws AdapterNameError when no adapter may have this name */
export function checkForm(name: string): void {
  if (NAME.test(name)) return
  throw new AdapterNameError(
    `"${name.slice(0, 140)}" cannot name an adapter: use 1 to 128 letters, digits and . _ - / @, without a leading dot.`,
  )
}
