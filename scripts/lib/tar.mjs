/** A walk through a tar archive in memory: enough for npm packages, which hold plain files with short names. */

const BLOCK = 512

/**
 * The archive's regular files.
 * @param {Uint8Array} archive
 * @returns {Generator<{ name: string, bytes: Uint8Array }>}
 * @throws {RangeError} when the archive is cut off or is no tar
 */
export function* tarFiles(archive) {
  const text = (/** @type {number} */ start, /** @type {number} */ length) => {
    const field = archive.subarray(start, start + length)
    const end = field.indexOf(0)
    return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end))
  }
  let at = 0
  while (at + BLOCK <= archive.length && archive[at] !== 0) {
    if (text(at + 257, 5) !== 'ustar') throw new RangeError(`not a tar header at byte ${at}`)
    const size = Number.parseInt(text(at + 124, 12).trim() || '0', 8)
    const type = text(at + 156, 1)
    const prefix = text(at + 345, 155)
    const name = (prefix ? `${prefix}/` : '') + text(at, 100)
    const start = at + BLOCK
    if (!(start + size <= archive.length)) throw new RangeError(`${name} ends behind the end of the archive`)
    if (type === '' || type === '0') yield { name, bytes: archive.subarray(start, start + size) }
    at = start + Math.ceil(size / BLOCK) * BLOCK
  }
}
