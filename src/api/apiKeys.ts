/** Bearer keys, compared without telling by the time it takes how much of a key was right. */

/** True if the `Authorization` header carries one of `keys`. */
export function acceptsKey(authorization: string | null, keys: readonly string[]): boolean {
  const given = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
  if (given === undefined) return false
  // Every key is looked at in full, whichever matches.
  return keys.map((key) => equal(given, key)).includes(true)
}

function equal(given: string, key: string): boolean {
  let difference = given.length ^ key.length
  for (let i = 0; i < given.length; i++) difference |= given.charCodeAt(i) ^ key.charCodeAt(i % key.length)
  return difference === 0
}
