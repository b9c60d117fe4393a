/**
 * GPT-2's alphabet: every byte has a printable character, so that a vocabulary of bytes can be written as text.
 * Printable Latin-1 stands for itself, the other 68 bytes are the characters from U+0100 on, in order.
 */
const CHARACTER_OF_BYTE: readonly string[] = buildAlphabet()
const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(
  CHARACTER_OF_BYTE.map((character, byte) => [character, byte]),
)

function buildAlphabet(): string[] {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++))
}

/** The UTF-8 bytes of `text`, each as its character. */
export function byteCharacters(text: string): string {
  let characters = ''
  for (const byte of new TextEncoder().encode(text)) characters += CHARACTER_OF_BYTE[byte]
  return characters
}

/** The bytes a byte-level token stands for; null if one of its characters is not in the alphabet. */
export function characterBytes(token: string): Uint8Array | null {
  const bytes: number[] = []
  for (const character of token) {
    const byte = BYTE_OF_CHARACTER.get(character)
    if (byte === undefined) return null
    bytes.push(byte)
  }
  return Uint8Array.from(bytes)
}
