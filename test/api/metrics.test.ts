/** /metrics, /v1/stats and their kin over a real engine with a scripted device: what is asked is what is counted. */
import { describe, expect, it } from 'vitest'
import type { StatsJson } from '../../src/api/stats.ts'
import { Engine } from '../../src/engine/engine.ts'
import { EngineMeter } from '../../src/engine/meter.ts'
import type { AdapterStatus } from '../../src/lora/registry.ts'
import { AdapterUsage } from '../../src/lora/usage.ts'
import { FakeRunner, type FakeRunnerOptions } from '../support/fakeRunner.ts'
import { answerOf, errorOf, fakeHouse } from './support/fakeService.ts'
import { fakeTelemetry } from './support/fakeTelemetry.ts'
import { Metrics } from './support/parseMetrics.ts'

/** Resolves when the step in flight may go on. */
function gate() {
  let open = (): void => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

function open(options: FakeRunnerOptions = {}, apiKeys: readonly string[] = []) {
  const meter = new EngineMeter()
  const engine = new Engine(new FakeRunner(options), { checkIntegrity: true, observer: meter })
  const house = fakeHouse({ apiKeys, service: { engine, telemetry: fakeTelemetry(engine, meter) } })
  const complete = (body: object, init: RequestInit = {}): Promise<Response> =>
    house.post('/v1/completions', { temperature: 0, ignore_eos: true, ...body }, init)
  const metrics = async (): Promise<Metrics> => new Metrics(await (await house.get('/metrics')).text())
  const stats = async (query = ''): Promise<StatsJson> => answerOf<StatsJson>(await house.get(`/v1/stats${query}`))
  return { engine, house, complete, metrics, stats }
}

describe('GET /metrics', () => {
  it('is text of version 0.0.4, before anything has happened too', async () => {
    const { house } = open()
    const response = await house.get('/metrics')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const metrics = new Metrics(await response.text())
    for (const { samples } of metrics.families.values()) {
      for (const { labels } of samples) expect(labels).toMatchObject({ model_name: 'org/tiny', engine: '0' })
    }
    expect(metrics.value('vllm:request_success_total', { finished_reason: 'stop' })).toBe(0)
    expect(metrics.value('lorikeet_build_info', { version: '0.0.0-test', device: 'a "fake" device' })).toBe(1)
    expect(metrics.value('lorikeet_gpu_memory_bytes', { purpose: 'weights' })).toBe(5000)
  })

  it('has the names that routers and dashboards made for vLLM look for', async () => {
    const { metrics } = open()
    const { families } = await metrics()
    const types = Object.fromEntries([...families.values()].map(({ name, type }) => [name, type]))
    expect(types).toMatchObject({
      'vllm:num_requests_running': 'gauge',
      'vllm:num_requests_waiting': 'gauge',
      'vllm:kv_cache_usage_perc': 'gauge',
      'vllm:lora_requests_info': 'gauge',
      'vllm:cache_config_info': 'gauge',
      'vllm:num_preemptions_total': 'counter',
      'vllm:prefix_cache_queries_total': 'counter',
      'vllm:prefix_cache_hits_total': 'counter',
      'vllm:prompt_tokens_total': 'counter',
      'vllm:generation_tokens_total': 'counter',
      'vllm:request_success_total': 'counter',
      'vllm:time_to_first_token_seconds': 'histogram',
      'vllm:inter_token_latency_seconds': 'histogram',
      'vllm:e2e_request_latency_seconds': 'histogram',
      'vllm:request_queue_time_seconds': 'histogram',
      'vllm:iteration_tokens_total': 'histogram',
    })
  })

  it('counts requests and tokens, by how they ended', async () => {
    const { complete, metrics } = open()
    await answerOf(await complete({ prompt: [1, 2, 3], max_tokens: 4, model: 'pirate' }))
    await answerOf(await complete({ prompt: [1, 2, 3, 4, 5], max_tokens: 2, n: 2 }))
    const after = await metrics()
    expect(after.value('vllm:prompt_tokens_total')).toBe(13)
    expect(after.value('vllm:generation_tokens_total')).toBe(8)
    expect(after.value('vllm:request_success_total', { finished_reason: 'length' })).toBe(3)
    expect(after.value('vllm:time_to_first_token_seconds_count')).toBe(3)
    expect(after.value('vllm:inter_token_latency_seconds_count')).toBe(5)
    expect(after.value('vllm:e2e_request_latency_seconds_count')).toBe(3)
    expect(after.value('vllm:request_prompt_tokens_sum')).toBe(13)
    expect(after.value('vllm:request_prompt_tokens_bucket', { le: '5.0' })).toBe(3)
    expect(after.value('vllm:request_prompt_tokens_bucket', { le: '2.0' })).toBe(0)
    expect(after.value('vllm:iteration_tokens_total_sum')).toBe(
      after.value('lorikeet_step_rows_total', { phase: 'prefill' }) +
        after.value('lorikeet_step_rows_total', { phase: 'decode' }),
    )
    expect(after.value('lorikeet_http_responses_total', { route: '/v1/completions', status: '200' })).toBe(2)
  })

  it('counts what was refused as a response, and never as a request', async () => {
    const { house, complete, metrics } = open()
    await complete({ prompt: [1], model: 'nobody' })
    await complete({ prompt: [1], temperature: -1 })
    await house.get('/v1/models/tiny')
    await house.get('/somewhere')
    await house.get('/elsewhere')
    const after = await metrics()
    const responses = (route: string, status: number) =>
      after.value('lorikeet_http_responses_total', { route, status: `${status}` })
    expect(responses('/v1/completions', 404)).toBe(1)
    expect(responses('/v1/completions', 400)).toBe(1)
    expect(responses('/v1/models/*', 200)).toBe(1)
    expect(responses('/*', 404)).toBe(2) // paths that clients make up are no labels
    expect(after.value('vllm:e2e_request_latency_seconds_count')).toBe(0)
  })

  it('counts a request whose client goes away once, as aborted', async () => {
    const { house, complete, metrics } = open()
    const response = await complete({ prompt: [1, 2, 3], max_tokens: 50, stream: true, model: 'pirate' })
    const reader = response.body!.getReader()
    await reader.read()
    await reader.cancel()
    await answerOf(await complete({ prompt: [1], max_tokens: 1 }))
    const after = await metrics()
    expect(after.value('vllm:request_success_total', { finished_reason: 'abort' })).toBe(1)
    expect(after.value('vllm:request_success_total', { finished_reason: 'length' })).toBe(1)
    expect(after.value('vllm:e2e_request_latency_seconds_count')).toBe(2)
    expect(house.leases).toEqual([])
  })

  it('counts the requests that a failed device ends once each, and is there afterwards', async () => {
    const failing = (index: number): void => {
      if (index === 2) throw new Error('the device is gone')
    }
    const { complete, metrics } = open({ inFlight: failing })
    const responses = await Promise.all([1, 2, 3].map((token) => complete({ prompt: [token], max_tokens: 9 })))
    expect(responses.map(({ status }) => status)).toEqual([500, 500, 500])
    const after = await metrics()
    expect(after.value('vllm:request_success_total', { finished_reason: 'error' })).toBe(3)
    expect(after.value('vllm:num_requests_running')).toBe(0)
    expect(after.value('lorikeet_engine_ready')).toBe(0)
  })

  it('says while requests run which adapters are at work, and which wait', async () => {
    const { open: letGo, opened } = gate()
    const { complete, metrics, stats } = open({ inFlight: () => opened, limits: { maxSpans: 1, maxLogitsRows: 2 } })
    const answers = ['pirate', 'team/tutor', 'team/tutor'].map((model) =>
      complete({ prompt: [1, 2], max_tokens: 2, model }),
    )
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))
    const during = await metrics()
    expect(during.value('vllm:num_requests_running')).toBe(1)
    expect(during.value('vllm:num_requests_waiting')).toBe(2)
    expect(during.value('vllm:kv_cache_usage_perc')).toBe(1 / 32)
    const [info] = during.families.get('vllm:lora_requests_info')!.samples
    expect(info!.labels).toMatchObject({
      max_lora: '8',
      running_lora_adapters: 'pirate',
      waiting_lora_adapters: 'team/tutor',
    })
    expect(Math.abs(info!.value - Date.now() / 1000)).toBeLessThan(60)
    expect(await stats()).toMatchObject({
      requests: { running: 1, waiting: 2 },
      adapters: { running: ['pirate'], waiting: ['team/tutor'] },
      kv: { blocks_used: 1, blocks_total: 32, block_tokens: 4, bytes: 700 },
    })
    letGo()
    await Promise.all(answers)
    expect((await metrics()).value('vllm:num_requests_running')).toBe(0)
  })

  it('tells of each adapter, of a name that is old and new the new one', async () => {
    const usage = Object.assign(new AdapterUsage(), { hits: 3, misses: 2, arrivals: 2, lastArrivalMs: 125 })
    const status: AdapterStatus = {
      ...{ name: 'pirate', id: 0, root: 'r', digest: 'd', created: 1, origin: 'program', pinned: false },
      ...{
        state: 'loaded',
        tier: 'gpu',
        rank: 8,
        modules: 4,
        kinds: ['lora'],
        bytes: 4096,
        hostBytes: 0,
        leases: 1,
        requests: 5,
        usage,
        evictions: 1,
      },
    }
    const house = fakeHouse()
    const told = fakeHouse({
      service: {
        adapters: {
          ...house.service.adapters,
          status: () => [status, { ...status, state: 'leaving', requests: 9, bytes: 1 }, { ...status, name: 'idle' }],
        },
      },
    })
    const metrics = new Metrics(await (await told.get('/metrics')).text())
    const of = (name: string): number => metrics.value(`lorikeet_adapter_${name}`, { adapter: 'pirate' })
    expect(of('requests_total')).toBe(5)
    expect(of('hits_total')).toBe(3)
    expect(of('misses_total')).toBe(2)
    expect(of('loads_total')).toBe(2)
    expect(of('evictions_total')).toBe(1)
    expect(of('bytes')).toBe(4096)
    expect(of('last_load_seconds')).toBe(0.125)
    expect(metrics.value('lorikeet_adapter_tier', { adapter: 'idle', tier: 'gpu' })).toBe(1)
  })

  it('asks for a key where the other routes do', async () => {
    const { house } = open({}, ['secret'])
    for (const path of ['/metrics', '/v1/metrics', '/v1/stats', '/v1/metadata']) {
      expect((await house.get(path)).status).toBe(401)
      expect((await house.get(path, { headers: { authorization: 'Bearer secret' } })).status).toBe(200)
    }
  })
})

describe('GET /v1/stats', () => {
  it('is the state of the house', async () => {
    const { stats } = open()
    const { uptime_s, ...rest } = await stats()
    expect(uptime_s).toBeGreaterThanOrEqual(0)
    expect(rest).toEqual({
      object: 'stats',
      version: '0.0.0-test',
      state: 'ready',
      device: { name: 'a "fake" device', isSoftware: true, features: ['subgroups', 'timestamp-query'] },
      model: { id: 'org/tiny', names: ['org/tiny', 'tiny'], max_model_len: 64 },
      requests: { running: 0, waiting: 0, finished: { stop: 0, length: 0, abort: 0, error: 0 }, preemptions: 0 },
      steps: { total: 0, depth: 2, recent: [] },
      tokens: { prompt: 0, cached: 0, generated: 0 },
      kv: { blocks_used: 0, blocks_total: 32, block_tokens: 4, bytes: 700 },
      memory: { weights: 5000, kv: 700, total: 5700 },
      adapters: {
        ...{ names: 2, loaded: 2, resident: 1, max_resident: 8, host_bytes: 3000, max_host_bytes: 4000 },
        ...{ capacity_bytes: 10_000, used_bytes: 1000, running: [], waiting: [] },
      },
    })
  })

  it('tells the steps behind the one that the caller has, by the names of adapters', async () => {
    const { complete, stats } = open()
    const bodies = [{ model: 'pirate' }, { model: 'tiny:pirate' }, { model: 'team/tutor' }, {}]
    await Promise.all(bodies.map((body) => complete({ prompt: [1, 2, 3], max_tokens: 3, ...body })))
    const all = await stats()
    expect(all.tokens).toEqual({ prompt: 12, cached: 0, generated: 12 })
    expect(all.steps.recent.map(({ step }) => step)).toEqual(Array.from({ length: all.steps.total }, (_, i) => i))
    const sums: Record<string, number[]> = {}
    for (const { rows } of all.steps.recent) {
      for (const { adapter, prefill, decode } of rows) {
        const [before = 0, beside = 0] = sums[`${adapter}`] ?? []
        sums[`${adapter}`] = [before + prefill, beside + decode]
      }
    }
    expect(sums).toEqual({ pirate: [6, 4], 'team/tutor': [3, 2], null: [3, 2] })
    for (const { at_ms, ms } of all.steps.recent) {
      expect(at_ms).toBeLessThanOrEqual(all.uptime_s * 1000 + 1)
      expect(ms).toBeGreaterThanOrEqual(0)
    }
    const last = all.steps.total - 1
    expect((await stats(`?since=${last - 1}`)).steps.recent.map(({ step }) => step)).toEqual([last])
    expect((await stats(`?since=${last}`)).steps.recent).toEqual([])
    expect((await stats('?since=-1')).steps.recent).toEqual(all.steps.recent)
    const { house } = open()
    for (const since of ['x', '-2', '1.5', '1e99']) {
      expect(await errorOf(await house.get(`/v1/stats?since=${since}`))).toMatchObject({ status: 400, param: 'since' })
    }
  })
})

describe('GET /v1/metadata', () => {
  it("has NIM's shape", async () => {
    const { house } = open()
    expect(await answerOf(await house.get('/v1/metadata'))).toMatchObject({
      version: '0.0.0-test',
      modelInfo: [{ shortName: 'org/tiny', modelUrl: 'models/tiny' }],
      assetInfo: [],
      repository_override: '',
      selectedModelProfileId: 'activations-float32-kv-float16',
    })
  })
})
