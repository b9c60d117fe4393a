import { describe, expect, it } from 'vitest'
import { Engine, type EngineOptions } from '../../src/engine/engine.ts'
import {
  ContextLengthError,
  EngineClosedError,
  EngineUnavailableError,
  InvalidGenerationError,
  InvalidLogitsError,
  QueueFullError,
  StepFailedError,
} from '../../src/engine/errors.ts'
import type { GenerationRequest } from '../../src/engine/generation.ts'
import type { RequestTrace, StepTrace } from '../../src/engine/observer.ts'
import { InvariantError } from '../../src/errors.ts'
import { generateAlone } from '../support/fakeModel.ts'
import { BASE_WEIGHTS, FAKE_LIMITS, FakeRunner, type FakeRunnerOptions } from '../support/fakeRunner.ts'
import { FakeLease, GREEDY, read, request, tokensOf } from '../support/requests.ts'

/** What the model alone answers, with the weights of the request's adapter as FakeRunner numbers them. */
function alone(wanted: GenerationRequest) {
  const weights = wanted.adapter === null ? BASE_WEIGHTS : wanted.adapter.slot! + 1
  return generateAlone(wanted, { weights, contextLength: FAKE_LIMITS.maxModelLen, vocabSize: FAKE_LIMITS.vocabSize })
}

/** A gate that a step in flight stands at. */
function gate() {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

const tasks = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('running ahead', () => {
  const open = (runnerOptions: FakeRunnerOptions = {}, options: EngineOptions = {}) => {
    const runner = new FakeRunner({ latency: 6, ...runnerOptions })
    return { runner, engine: new Engine(runner, { checkIntegrity: true, depth: 4, ...options }) }
  }

  it('keeps as many steps in flight as it may, and computes nothing after a length that is known', async () => {
    const { runner, engine } = open()
    const wanted = request({ maxTokens: 20 })
    const reading = read(engine.generate(wanted))
    await reading.done
    expect(reading.events).toEqual(alone(wanted))
    expect(runner.mostInFlight).toBe(4)
    expect(runner.numSteps).toBe(20)
  })

  it('drops what was drawn behind a stop id', async () => {
    const { runner, engine } = open()
    const stopId = tokensOf(alone(request({ maxTokens: 12 })))[5]!
    const wanted = request({ maxTokens: 40, stopIds: [stopId] })
    const reading = read(engine.generate(wanted))
    await reading.done
    expect(reading.events).toEqual(alone(wanted))
    const numTokens = tokensOf(reading.events).length
    expect(engine.stats()).toMatchObject({ generatedTokens: numTokens, running: 0, kvCacheUsage: 0 })
    expect(runner.numSteps).toBeGreaterThan(numTokens + 1)
    expect(runner.numSteps).toBeLessThanOrEqual(numTokens + 4)
  })

  it('leaves nothing of the surplus in shared blocks', async () => {
    const { engine } = open({ limits: { blockSize: 2, numBlocks: 8, maxModelLen: 16 } })
    const whole = tokensOf(alone(request({ prompt: [1, 2], maxTokens: 12 })))
    const stopId = whole[4]!
    for (const tail of [[], whole.slice(0, 3), whole.slice(0, 4), whole.slice(0, 5), [7, 7, 7]]) {
      const wanted = request({ prompt: [1, 2, ...tail], maxTokens: 6, stopIds: [stopId] })
      const reading = read(engine.generate(wanted))
      await reading.done
      const { numBlocks, blockSize } = { numBlocks: 8, blockSize: 2 }
      const contextLength = Math.min(16, numBlocks * blockSize)
      expect(reading.events).toEqual(
        generateAlone(wanted, { weights: BASE_WEIGHTS, contextLength, vocabSize: FAKE_LIMITS.vocabSize }),
      )
    }
  })

  it('lets a sequence that decides token by token take part without slowing the others', async () => {
    const { runner, engine } = open()
    const guided = request({ id: 'guided', maxTokens: 5, awaitsTokens: true, prompt: [5, 6] })
    const free = request({ id: 'free', maxTokens: 40 })
    const readings = [guided, free].map((one) => read(engine.generate(one)))
    await Promise.all(readings.map(({ done }) => done))
    expect(readings.map(({ events }) => events)).toEqual([alone(guided), alone(free)])
    expect(runner.numSteps).toBe(40)
  })

  it('submits what comes while results are waited for', async () => {
    const { open: letGo, opened } = gate()
    const { engine, runner } = open({ latency: 0, inFlight: (index) => (index === 0 ? opened : undefined) })
    const first = read(engine.generate(request({ maxTokens: 1 })))
    await tasks(5)
    expect(runner.numSteps).toBe(1)
    const second = read(engine.generate(request({ maxTokens: 1, prompt: [9] })))
    await tasks(5)
    expect(runner.numSteps).toBe(2)
    letGo()
    await Promise.all([first.done, second.done])
  })

  it('ends every request once when a step fails with others behind it', async () => {
    const { engine, runner } = open({
      inFlight: (index) => {
        if (index >= 6) throw new Error(`step ${index}`)
      },
    })
    const readings = [1, 2, 3].map((token) => read(engine.generate(request({ prompt: [token], maxTokens: 30 }))))
    await Promise.all(readings.map(({ done }) => done))
    for (const { error } of readings) expect(String(error)).toContain('step 6')
    expect(runner.numSteps).toBe(10)
    expect(engine.stats()).toMatchObject({ state: 'failed', running: 0, kvCacheUsage: 0 })
  })

  it('finds out how many steps in flight a slow readback needs', async () => {
    let now = 0 // in tasks
    let hasEnded = false
    const tick = (): void => {
      now++
      if (!hasEnded) setImmediate(tick)
    }
    tick()
    const runner = new FakeRunner({ latency: 12 })
    const engine = new Engine(runner, { checkIntegrity: true, now: () => now })
    await tasks(60) // the echoes of an idle engine
    expect(engine.stats()).toMatchObject({ readbackMs: 12, stepMs: null, depth: 2 })
    const reading = read(engine.generate(request({ maxTokens: 59 })))
    await reading.done
    hasEnded = true
    expect(reading.events).toEqual(alone(request({ maxTokens: 59 })))
    expect(runner.mostInFlight).toBe(8)
    expect(now).toBeLessThan(60 + 59 * 4)
    await engine.close()
  })
})

describe.each([
  { name: 'the plain loop', depth: 1, latency: 0 },
  { name: 'two steps in flight', depth: 2, latency: 1 },
  { name: 'eight steps in flight', depth: 8, latency: 5 },
])('with $name:', ({ depth, latency }) => {
  function open(runnerOptions: FakeRunnerOptions = {}, options: EngineOptions = {}) {
    const runner = new FakeRunner({ latency, maxInFlight: depth, ...runnerOptions })
    return { runner, engine: new Engine(runner, { checkIntegrity: true, depth, ...options }) }
  }

  describe('a generation', () => {
    const cases: Record<string, Partial<GenerationRequest>> = {
      greedy: {},
      'of one token from one token': { prompt: [7], maxTokens: 1 },
      seeded: { sampling: { ...GREEDY, temperature: 0.7, seed: 1234 }, maxTokens: 20 },
      'with a prompt longer than a step': { prompt: Array.from({ length: 41 }, (_, i) => i), maxTokens: 9 },
      'with logprobs': { topLogprobs: 3 },
      'with prompt logprobs': { promptLogprobs: 2, prompt: Array.from({ length: 30 }, (_, i) => (i * 7) % 61) },
      'with prompt logprobs of a single token': { promptLogprobs: 1, prompt: [9] },
      'that only scores the prompt': { promptLogprobs: 20, maxTokens: 0 },
      'that only scores a single token': { promptLogprobs: 0, maxTokens: 0, prompt: [5] },
      'that wants nothing at all': { maxTokens: 0 },
      'cut by the context': { maxTokens: 1_000_000, prompt: [1, 2] },
      'with no room but for one token': { maxTokens: 5, prompt: Array.from({ length: 63 }, () => 2) },
    }
    for (const [name, overrides] of Object.entries(cases)) {
      it(`${name} brings what the model alone says`, async () => {
        const { engine } = open()
        const wanted = request(overrides)
        const reading = read(engine.generate(wanted))
        await reading.done
        expect(reading.error).toBeNull()
        expect(reading.events).toEqual(alone(wanted))
        expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, kvCacheUsage: 0 })
      })
    }

    it('computes nothing for a request that wants nothing', async () => {
      const { engine, runner } = open()
      await read(engine.generate(request({ maxTokens: 0 }))).done
      await read(engine.generate(request({ maxTokens: 0, promptLogprobs: 1, prompt: [5] }))).done
      expect(runner.numSteps).toBe(0)
    })

    it('ends at a stop id, which is not among its tokens', async () => {
      const { engine } = open()
      const free = tokensOf(alone(request({ maxTokens: 12 })))
      const stopId = free[5]!
      const reading = read(engine.generate(request({ maxTokens: 12, stopIds: [60, stopId] })))
      await reading.done
      expect(tokensOf(reading.events)).toEqual(free.slice(0, free.indexOf(stopId)))
      expect(reading.events.at(-1)).toEqual({ type: 'finish', reason: 'stop', stopId })
    })

    it('tells the log probabilities of the stop id too, where they are asked for', async () => {
      const { engine } = open()
      const free = alone(request({ maxTokens: 12, topLogprobs: 2 })).filter((event) => event.type === 'token')
      const { token: stopId, logprobs } = free[5]!
      const reading = read(engine.generate(request({ maxTokens: 12, topLogprobs: 2, stopIds: [stopId] })))
      await reading.done
      expect(reading.events.at(-1)).toEqual({ type: 'finish', reason: 'stop', stopId, stopLogprobs: logprobs })
    })

    it('does not draw a stop id before minTokens', async () => {
      const { engine } = open()
      const stopIds = Array.from({ length: 32 }, (_, i) => i)
      const reading = read(engine.generate(request({ maxTokens: 40, minTokens: 10, stopIds })))
      await reading.done
      const tokens = tokensOf(reading.events)
      expect(tokens.length).toBeGreaterThanOrEqual(10)
      expect(tokens.slice(0, 10).every((token) => token > 31)).toBe(true)
      expect(reading.events.at(-1)).toMatchObject({ type: 'finish', reason: 'stop' })
    })

    it('is the same in a mixed batch of adapters and base as alone', async () => {
      const { engine } = open()
      const wanted = [null, 0, 1, null, 2, 1, 3].map((slot, i) =>
        request({
          adapter: slot === null ? null : new FakeLease(`adapter ${slot}`, slot),
          prompt: Array.from({ length: 1 + ((i * 5) % 19) }, (_, n) => n),
          maxTokens: 5 + i,
        }),
      )
      const readings = wanted.map((one) => read(engine.generate(one)))
      await Promise.all(readings.map(({ done }) => done))
      readings.forEach(({ events }, i) => {
        expect(events).toEqual(alone(wanted[i]!))
      })
    })

    it('is the same after preemptions', async () => {
      const { engine } = open({ limits: { numBlocks: 9 } })
      const wanted = Array.from({ length: 4 }, (_, i) =>
        request({ prompt: [i, 1, 2, 3], maxTokens: 28, promptLogprobs: 1, topLogprobs: 1 }),
      )
      const readings = wanted.map((one) => read(engine.generate(one)))
      await Promise.all(readings.map(({ done }) => done))
      expect(engine.stats().preemptions).toBeGreaterThan(0)
      readings.forEach(({ events }, i) => {
        expect(events).toEqual(alone(wanted[i]!))
      })
    })

    it('throws a typed error alone, if its logits hold NaN', async () => {
      const runner = new FakeRunner()
      const damaged = {
        limits: runner.limits,
        echo: () => runner.echo(),
        submit: async (batch: Parameters<FakeRunner['submit']>[0]) => {
          const { records } = await runner.submit(batch)
          return {
            records: records.map((record, i) => (batch.spans[i]!.slot === 0 ? { ...record, token: null } : record)),
          }
        },
      }
      const engine = new Engine(damaged, { checkIntegrity: true })
      const adapter = new FakeLease('broken', 0)
      const bad = read(engine.generate(request({ adapter })))
      const good = read(engine.generate(request()))
      await Promise.all([bad.done, good.done])
      expect(bad.error).toBeInstanceOf(InvalidLogitsError)
      expect(String(bad.error)).toMatchInlineSnapshot(
        `"InvalidLogitsError: The logits at position 5 hold NaN or allow no token. Adapter "broken" may be damaged."`,
      )
      expect(adapter.numReleases).toBe(1)
      expect(good.events).toEqual(alone(request()))
      expect(engine.state).toBe('ready')
    })

    it('may be iterated once', async () => {
      const generation = open().engine.generate(request())
      await read(generation).done
      expect(() => generation[Symbol.asyncIterator]()).toThrow(InvariantError)
    })
  })

  describe('aborting', () => {
    it('a request that waits ends it without a step', async () => {
      const { engine, runner } = open()
      const lease = new FakeLease('a', 0)
      const generation = engine.generate(request({ adapter: lease }))
      generation.abort()
      const reading = read(generation)
      await reading.done
      expect(reading.events).toEqual([{ type: 'finish', reason: 'abort', stopId: null }])
      expect(runner.numSteps).toBe(0)
      expect(lease.numReleases).toBe(1)
    })

    it('before it was sent, by its signal, ends it without a step', async () => {
      const { engine, runner } = open()
      const reading = read(engine.generate(request({ signal: AbortSignal.abort() })))
      await reading.done
      expect(reading.events.at(-1)).toMatchObject({ reason: 'abort' })
      expect(runner.numSteps).toBe(0)
    })

    for (const [stage, atStep] of [
      ['in the middle of its prompt', 1],
      ['at its first token', 2],
      ['while it decodes', 6],
    ] as const) {
      it(`${stage}, with the step in flight, frees its blocks and its lease after that step`, async () => {
        const client = new AbortController()
        const lease = new FakeLease('a', 0)
        const { engine, runner } = open({
          inFlight: (index) => {
            if (index !== atStep) return
            client.abort()
            expect(lease.numReleases).toBe(0)
          },
        })
        const wanted = request({
          adapter: lease,
          prompt: Array.from({ length: 40 }, () => 1),
          maxTokens: 20,
          signal: client.signal,
        })
        const reading = read(engine.generate(wanted))
        await reading.done
        const tokens = tokensOf(reading.events)
        const most = Math.max(0, atStep - 2)
        expect(tokens).toEqual(tokensOf(alone(wanted)).slice(0, tokens.length))
        // With steps in flight, the last tokens before may be on their way still.
        expect(tokens.length).toBeLessThanOrEqual(most)
        expect(tokens.length).toBeGreaterThan(most - depth)
        expect(runner.numSteps).toBeGreaterThan(atStep)
        expect(runner.numSteps).toBeLessThanOrEqual(atStep + depth)
        expect(reading.events.at(-1)).toEqual({ type: 'finish', reason: 'abort', stopId: null })
        expect(lease.numReleases).toBe(1)
        expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, kvCacheUsage: 0 })
      })
    }

    it('after the end, or twice, changes nothing', async () => {
      const { engine } = open()
      const lease = new FakeLease('a', 0)
      const generation = engine.generate(request({ adapter: lease }))
      const reading = read(generation)
      await reading.done
      generation.abort()
      generation.abort()
      await tasks(3)
      expect(reading.events.filter(({ type }) => type === 'finish')).toHaveLength(1)
      expect(lease.numReleases).toBe(1)
    })

    it('happens by itself when the reader leaves', async () => {
      const { engine, runner } = open()
      const lease = new FakeLease('a', 0)
      for await (const event of engine.generate(request({ adapter: lease, maxTokens: 50 }))) {
        if (event.type === 'token') break
      }
      await tasks(3)
      expect(lease.numReleases).toBe(1)
      expect(runner.numSteps).toBeLessThan(5 + depth)
      expect(engine.stats().kvCacheUsage).toBe(0)
    })

    it('leaves no listener on the signal of a request that has ended', async () => {
      const { signal } = new AbortController()
      let listeners = 0
      const [add, remove] = [signal.addEventListener, signal.removeEventListener]
      signal.addEventListener = (...args: Parameters<typeof add>) => {
        listeners++
        add.apply(signal, args)
      }
      signal.removeEventListener = (...args: Parameters<typeof remove>) => {
        listeners--
        remove.apply(signal, args)
      }
      await read(open().engine.generate(request({ signal }))).done
      expect(listeners).toBe(0)
    })
  })

  describe('an adapter on its way', () => {
    it('is waited for without a step, and the others go on', async () => {
      const { engine, runner } = open()
      const lease = new FakeLease('slow')
      const waiting = read(engine.generate(request({ adapter: lease })))
      await read(engine.generate(request())).done
      const numSteps = runner.numSteps
      await tasks(10)
      expect(runner.numSteps).toBe(numSteps)
      expect(waiting.hasEnded).toBe(false)
      lease.arrive(2)
      await waiting.done
      expect(waiting.events).toEqual(alone(request({ adapter: lease })))
    })

    it('that cannot come ends its request with the reason', async () => {
      const { engine } = open()
      const lease = new FakeLease('lost')
      const reading = read(engine.generate(request({ adapter: lease })))
      const reason = new QueueFullError(3)
      await tasks(2)
      lease.fail(reason)
      await reading.done
      expect(reading.error).toBe(reason)
      expect(lease.numReleases).toBe(1)
    })
  })

  describe('a failing step', () => {
    it('ends every request with its error, and new ones are refused', async () => {
      const leases = Array.from({ length: 9 }, (_, i) => new FakeLease(`a${i}`, i < 8 ? 0 : null))
      const lost = new QueueFullError(1)
      const { engine, runner } = open({
        inFlight: (index) => {
          if (index === 3) throw lost
        },
      })
      const readings = leases.map((adapter) => read(engine.generate(request({ adapter, maxTokens: 30 }))))
      await Promise.all(readings.map(({ done }) => done))
      for (const reading of readings) expect(reading.error).toBe(lost)
      for (const lease of leases) expect(lease.numReleases).toBe(1)
      expect(engine.state).toBe('failed')
      expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, kvCacheUsage: 0 })
      expect(() => engine.generate(request())).toThrow(EngineUnavailableError)
      await tasks(3)
      expect(runner.numSteps).toBeGreaterThanOrEqual(4)
      expect(runner.numSteps).toBeLessThan(4 + depth)
      await engine.close()
      expect(() => engine.generate(request())).toThrow(EngineClosedError)
    })

    it('that throws something untyped is wrapped', async () => {
      const { engine } = open({
        inFlight: () => {
          throw new TypeError('no such thing')
        },
      })
      const reading = read(engine.generate(request()))
      await reading.done
      expect(reading.error).toBeInstanceOf(StepFailedError)
      expect(reading.error).toMatchObject({ status: 500, cause: new TypeError('no such thing') })
    })

    it('hands over the tokens that came before it', async () => {
      const { engine } = open({
        inFlight: (index) => {
          if (index === 2) throw new Error('lost')
        },
      })
      const generation = engine.generate(request({ maxTokens: 30 }))
      await tasks(10)
      const reading = read(generation)
      await reading.done
      expect(tokensOf(reading.events)).toEqual(tokensOf(alone(request({ maxTokens: 2 }))))
      expect(reading.error).toBeInstanceOf(StepFailedError)
    })
  })

  describe('closing', () => {
    it('waits for the step in flight, then ends every request', async () => {
      const { open: letGo, opened } = gate()
      const { engine } = open({ inFlight: (index) => (index === 2 ? opened : undefined) })
      const leases = [new FakeLease('a', 0), new FakeLease('b')]
      const readings = leases.map((adapter) => read(engine.generate(request({ adapter, maxTokens: 30 }))))
      await tasks(10)

      let hasClosed = false
      const closing = engine.close().then(() => {
        hasClosed = true
      })
      await tasks(5)
      expect(hasClosed).toBe(false)
      expect(leases[0]!.numReleases).toBe(0)
      expect(() => engine.generate(request())).toThrow(EngineClosedError)

      letGo()
      await closing
      await Promise.all(readings.map(({ done }) => done))
      for (const reading of readings) expect(reading.error).toBeInstanceOf(EngineClosedError)
      for (const lease of leases) expect(lease.numReleases).toBe(1)
      expect(engine.stats()).toMatchObject({ state: 'closed', running: 0, waiting: 0, kvCacheUsage: 0 })
    })

    it('an idle engine, and closing twice, is quick and harmless', async () => {
      const { engine } = open()
      await Promise.all([engine.close(), engine.close()])
      expect(engine.state).toBe('closed')
    })
  })

  describe('a refusal', () => {
    const bias = (...entries: readonly (readonly [number, number])[]): Partial<GenerationRequest> => ({
      sampling: { ...GREEDY, logitBias: entries.map(([id, bias]) => ({ id, bias })) },
    })
    const refused: Record<string, [Partial<GenerationRequest>, string]> = {
      'an empty prompt': [{ prompt: [] }, 'prompt'],
      'an id outside the vocabulary': [{ prompt: [1, 61] }, 'prompt'],
      'a fraction of a token': [{ maxTokens: 1.5 }, 'maxTokens'],
      'a negative minimum': [{ minTokens: -1 }, 'minTokens'],
      'too many top logprobs': [{ topLogprobs: 21 }, 'topLogprobs'],
      'a temperature that is no number': [{ sampling: { ...GREEDY, temperature: Number.NaN } }, 'sampling.temperature'],
      'a top-p above one': [{ sampling: { ...GREEDY, topP: 1.1 } }, 'sampling.topP'],
      'a temperature without end': [{ sampling: { ...GREEDY, temperature: Infinity } }, 'sampling.temperature'],
      'a penalty that is no number': [{ sampling: { ...GREEDY, presencePenalty: NaN } }, 'sampling.presencePenalty'],
      'a penalty without end': [{ sampling: { ...GREEDY, frequencyPenalty: -Infinity } }, 'sampling.frequencyPenalty'],
      'a repetition penalty of zero': [{ sampling: { ...GREEDY, repetitionPenalty: 0 } }, 'sampling.repetitionPenalty'],
      'a bias of an id outside the vocabulary': [bias([61, 1]), 'sampling.logitBias'],
      'biases out of order': [bias([2, 1], [2, 1]), 'sampling.logitBias'],
      'a bias that is no number': [bias([2, NaN]), 'sampling.logitBias'],
      'a bias without end': [bias([2, Infinity]), 'sampling.logitBias'],
      'more biases than a row takes': [
        bias(...Array.from({ length: 301 }, (_, i) => [i, 1] as const)),
        'sampling.logitBias',
      ],
      'a mask for another vocabulary': [{ sampling: { ...GREEDY, allowed: new Uint32Array(3) } }, 'sampling.allowed'],
      'a seed beyond 32 bits': [{ sampling: { ...GREEDY, seed: 2 ** 32 } }, 'sampling.seed'],
      'more banned ids than a row takes': [
        { minTokens: 1, stopIds: Array.from({ length: 33 }, (_, i) => i) },
        'stopIds',
      ],
    }
    for (const [name, [overrides, param]] of Object.entries(refused)) {
      it(`${name} is refused by name, and the lease stays with the caller`, async () => {
        const { engine } = open()
        const adapter = new FakeLease('a', 0)
        const generate = () => engine.generate(request({ adapter, ...overrides }))
        expect(generate).toThrow(InvalidGenerationError)
        expect(generate).toThrow(expect.objectContaining({ param, status: 400 }))
        expect(adapter.numReleases).toBe(0)
      })
    }

    it('names both lengths of a prompt that does not fit', () => {
      const prompt = Array.from({ length: 64 }, () => 1)
      expect(() => open().engine.generate(request({ prompt }))).toThrowErrorMatchingInlineSnapshot(
        `[ContextLengthError: This model's maximum context length is 64 tokens, but the prompt has 64 tokens. Shorten the prompt so that an answer fits behind it.]`,
      )
      expect(() =>
        open({ limits: { numBlocks: 4 } }).engine.generate(request({ prompt: prompt.slice(0, 16) })),
      ).toThrowErrorMatchingInlineSnapshot(
        `[ContextLengthError: The KV cache holds 16 tokens (the model's maximum context length is 64), but the prompt has 16 tokens. Shorten the prompt so that an answer fits behind it.]`,
      )
      expect(() => open().engine.generate(request({ prompt, maxTokens: 0 }))).not.toThrow(ContextLengthError)
    })

    it('comes when too many requests wait', async () => {
      const { engine } = open({}, { maxWaiting: 3 })
      const readings = [1, 2, 3].map(() => read(engine.generate(request())))
      expect(() => engine.generate(request())).toThrow(QueueFullError)
      await Promise.all(readings.map(({ done }) => done))
      await read(engine.generate(request())).done
    })
  })

  describe('the observer', () => {
    it('sees each request and each step once, in order', async () => {
      const log: string[] = []
      const finished: RequestTrace[] = []
      const steps: StepTrace[] = []
      let now = 0
      const { engine } = open(
        {},
        {
          now: () => now++,
          observer: {
            queued: ({ id }) => log.push(`queued ${id}`),
            admitted: ({ id }) => log.push(`admitted ${id}`),
            token: ({ id, numGeneratedTokens }, sinceLastMs) =>
              log.push(`token ${numGeneratedTokens} of ${id}${sinceLastMs === null ? '' : ', in time'}`),
            finished: (trace) => {
              log.push(`finished ${trace.id}: ${trace.outcome}`)
              finished.push(trace)
            },
            step: (step) => {
              log.push(`step ${step.index}: ${step.numRows} rows, ${step.numSpans} spans`)
              steps.push(step)
            },
          },
        },
      )
      await read(engine.generate(request({ id: 'one', maxTokens: 2, adapter: new FakeLease('parrot', 1) }))).done
      expect(log).toMatchInlineSnapshot(`
      [
        "queued one",
        "admitted one",
        "token 1 of one",
        "step 0: 5 rows, 1 spans",
        "token 2 of one, in time",
        "finished one: length",
        "step 1: 1 rows, 1 spans",
      ]
    `)
      const [trace] = finished
      expect(trace).toMatchObject({ adapter: 'parrot', numPromptTokens: 5, numGeneratedTokens: 2, outcome: 'length' })
      const times = [trace!.queuedAt, trace!.admittedAt!, trace!.firstTokenAt!, trace!.lastTokenAt!, trace!.finishedAt!]
      expect(times).toEqual(times.toSorted((one, other) => one - other))
      for (const { plannedAt, submittedAt, arrivedAt, settledAt } of steps) {
        expect([plannedAt, submittedAt, arrivedAt, settledAt]).toEqual(
          [plannedAt, submittedAt, arrivedAt, settledAt].toSorted((one, other) => one - other),
        )
      }
      expect(engine.stats()).toMatchObject({ steps: 2, rows: 6, generatedTokens: 2 })
    })
  })
})
