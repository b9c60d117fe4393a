/** What goes wrong while a template runs. ChatTemplate turns it into the error that users meet. */
export class JinjaError extends Error {
  /** `raised`: the template's own raise_exception, to be passed on word for word. */
  readonly raised: boolean

  constructor(message: string, options: { readonly raised?: boolean } = {}) {
    super(message)
    this.name = 'JinjaError'
    this.raised = options.raised ?? false
  }
}

/** Text that is not a template. `line` counts from 1. */
export class JinjaSyntaxError extends Error {
  readonly line: number

  constructor(message: string, line: number) {
    super(message)
    this.name = 'JinjaSyntaxError'
    this.line = line
  }
}
