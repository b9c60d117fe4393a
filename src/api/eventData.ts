/** The reading end of server-sent events, after the standard's section on parsing: what lorikeet's clients share. */

/** A line with its end. A carriage return behind everything that has come may be half of an end. */
const LINE = /^([^\r\n]*)(?:\r\n|\n|\r(?!$))/

/**
 * The data of each event, several lines of it joined. What no empty line ends is no event: a stream that breaks off
 * ends with the last whole one. Leaving early cancels the body.
 */
export async function* eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let rest = ''
  let data: string[] = []
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      rest += decoder.decode(value, { stream: true })
      for (let line = LINE.exec(rest); line; line = LINE.exec(rest)) {
        rest = rest.slice(line[0].length)
        const text = line[1]!
        if (/^data(:|$)/.test(text)) data.push(text.replace(/^data:? ?/, ''))
        if (text !== '') continue
        if (data.length > 0) yield data.join('\n')
        data = []
      }
    }
  } finally {
    await reader.cancel()
  }
}
