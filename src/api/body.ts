/**
 * From the bytes of a request to a JSON object: bounded, strict UTF-8, and with the place of the fault when it is not
 * JSON.
 */
import { part } from '../part.ts'
import { BodyTooLargeError, InvalidRequestError, MalformedJsonError } from './errors.ts'

/** What a client may send unless the host says otherwise: 8 MiB. */
export const MAX_BODY_BYTES: number = 8 * 1024 * 1024

/**
 * Reads the body of `request` as one JSON object.
 * @throws BodyTooLargeError (413), MalformedJsonError (400), InvalidRequestError (400) when it is no object.
 */
export async function readJsonObject(request: Request, limitBytes: number): Promise<Readonly<Record<string, unknown>>> {
  const body = await readJson(request, limitBytes)
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new InvalidRequestError('The request body must be a JSON object.')
  }
  return body as Record<string, unknown>
}

/** The same of one JSON array. */
export async function readJsonArray(request: Request, limitBytes: number): Promise<readonly unknown[]> {
  const body = await readJson(request, limitBytes)
  if (!Array.isArray(body)) throw new InvalidRequestError('The request body must be a JSON array.')
  return body
}

async function readJson(request: Request, limitBytes: number): Promise<unknown> {
  return await parseJson(decodeUtf8(await readBytes(request, limitBytes)))
}

async function readBytes(request: Request, limitBytes: number): Promise<Uint8Array> {
  // An honest client learns at once; one that lies about its length or sends none is counted below.
  if (Number(request.headers.get('content-length') ?? 0) > limitBytes) throw new BodyTooLargeError(limitBytes)
  if (request.body === null) return new Uint8Array()
  const chunks: Uint8Array[] = []
  let byteLength = 0
  for await (const chunk of request.body as ReadableStream<Uint8Array>) {
    byteLength += chunk.byteLength
    if (byteLength > limitBytes) throw new BodyTooLargeError(limitBytes)
    chunks.push(chunk)
  }
  const bytes = new Uint8Array(byteLength)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.byteLength
  }
  return bytes
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new MalformedJsonError('The request body is not valid UTF-8.', null, { cause })
  }
}

async function parseJson(text: string): Promise<unknown> {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const { findJsonFault } = await part(() => import('./jsonFault.ts'))
    const fault = findJsonFault(text)
    const where = fault && ` at line ${fault.line}, column ${fault.column} (offset ${fault.offset}): ${fault.reason}`
    throw new MalformedJsonError(`The request body is not valid JSON${where ?? ''}.`, null, { cause })
  }
}
