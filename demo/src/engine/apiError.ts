/** What went wrong, in the words of whoever noticed it. */

export interface ErrorBody {
  readonly message?: string
  readonly code?: number | string | null
  readonly param?: string | null
  readonly type?: string | null
}

export class ApiError extends Error {
  /** HTTP status; null when nobody answered. */
  readonly status: number | null
  /** The field or file that is at fault. */
  readonly param: string | null

  constructor(message: string, status: number | null = null, param: string | null = null) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.param = param
  }
}

/** The error of an answer that is none, from OpenAI's envelope, SGLang's answer or the bare status. */
export async function apiErrorOf(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => null)) as { error?: ErrorBody; error_message?: string } | null
  const message = body?.error?.message ?? body?.error_message ?? `The server answered ${response.status}.`
  return new ApiError(message, response.status, body?.error?.param ?? null)
}

/** Any thrown thing as a sentence. */
export function wordsOf(error: unknown): string {
  if (error instanceof Error) return error.message
  return String(error)
}
