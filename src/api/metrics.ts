/**
 * `GET /metrics`: what Prometheus scrapes. Names that vLLM has (vllm/v1/metrics, 2025) mean the same here, so that routers
 * and dashboards made for it work; what only lorikeet knows begins with `lorikeet_`. Everything is read when asked for.
 */
import type { EngineMeter } from '../engine/meter.ts'
import type { Telemetry } from '../engine/telemetry.ts'
import type { AdapterStatus } from '../lora/registry.ts'
import { MetricsText, type Sample } from './metricsText.ts'
import type { ResponseCounts } from './responseCounts.ts'
import type { Service } from './service.ts'

export { METRICS_CONTENT_TYPE } from './metricsText.ts'

/** Seconds of the Unix clock, for the one gauge whose value is a time. */
const unixNow = (): number => Date.now() / 1000

export function metricsText(service: Service, responses: ResponseCounts): string {
  const { telemetry, adapters } = service
  const text = new MetricsText({ model_name: service.modelNames[0], engine: '0' })
  writeScheduler(text, telemetry)
  writeRequests(text, telemetry.meter)
  writeAdapters(text, telemetry, uniqueByName(adapters.status()))
  writeDevice(text, telemetry)
  text.counter('lorikeet_http_responses_total', 'HTTP responses, by route and status.', responses.samples())
  text.gauge('lorikeet_uptime_seconds', 'Seconds since the model was opened.', telemetry.meter.uptime)
  text.gauge('lorikeet_build_info', 'The version that runs, and on what device.', [
    [{ version: service.version, device: telemetry.device.adapter }, 1],
  ])
  return text.toString()
}

/** What routers balance by: load, room and which adapters are at work. */
function writeScheduler(text: MetricsText, telemetry: Telemetry): void {
  const engine = telemetry.engine()
  const { running, waiting } = telemetry.adaptersAtWork()
  const { maxResident } = telemetry.adapters()
  text.gauge('vllm:num_requests_running', 'Requests in the running batch.', engine.running)
  text.gauge('vllm:num_requests_waiting', 'Requests that wait to be admitted.', engine.waiting)
  text.gauge('vllm:kv_cache_usage_perc', 'Share of the KV blocks in use, 0 to 1.', engine.kvCacheUsage)
  text.gauge('vllm:cache_config_info', 'Size of the KV cache.', [
    [{ block_size: `${engine.blockSize}`, num_gpu_blocks: `${engine.numBlocks}` }, 1],
  ])
  text.gauge('vllm:lora_requests_info', 'Adapters whose requests run and wait; the value is the time.', [
    [
      {
        max_lora: `${maxResident}`,
        running_lora_adapters: running.join(','),
        waiting_lora_adapters: waiting.join(','),
      },
      unixNow(),
    ],
  ])
  text.counter('vllm:num_preemptions_total', 'Preemptions of running requests.', engine.preemptions)
  text.counter('vllm:prompt_tokens_total', 'Prompt tokens of admitted requests.', engine.promptTokens)
  text.counter('vllm:generation_tokens_total', 'Tokens generated.', engine.generatedTokens)
  text.counter('vllm:prefix_cache_queries_total', 'Prompt tokens looked up in the prefix cache.', engine.promptTokens)
  text.counter('vllm:prefix_cache_hits_total', 'Prompt tokens found in the prefix cache.', engine.cachedTokens)
  text.gauge(
    'lorikeet_engine_ready',
    '1 while requests are taken; 0 when the device failed or the engine was closed.',
    [[{}, engine.state === 'ready' ? 1 : 0]],
  )
  text.counter('lorikeet_steps_total', 'Steps run.', engine.steps)
  text.gauge('lorikeet_run_ahead_depth', 'Steps kept in flight.', engine.depth)
}

/** How requests fared. */
function writeRequests(text: MetricsText, meter: EngineMeter): void {
  const outcomes = Object.entries(meter.outcomes).map(([reason, count]): Sample => [{ finished_reason: reason }, count])
  text.counter('vllm:request_success_total', 'Requests that ended, by how.', outcomes)
  text.histogram('vllm:time_to_first_token_seconds', 'From arrival to the first token.', meter.firstToken)
  text.histogram('vllm:inter_token_latency_seconds', 'From one token to the next.', meter.betweenTokens)
  text.histogram('vllm:time_per_output_token_seconds', "The same, under vLLM's older name.", meter.betweenTokens)
  text.histogram('vllm:request_time_per_output_token_seconds', "A request's mean time between tokens.", meter.perToken)
  text.histogram('vllm:e2e_request_latency_seconds', 'From arrival to the end.', meter.whole)
  text.histogram('vllm:request_queue_time_seconds', 'From arrival to admission.', meter.queue)
  text.histogram('vllm:request_inference_time_seconds', 'From admission to the end.', meter.inference)
  text.histogram('vllm:request_prefill_time_seconds', 'From admission to the first token.', meter.prefill)
  text.histogram('vllm:request_decode_time_seconds', 'From the first token to the last.', meter.decode)
  text.histogram('vllm:request_prompt_tokens', 'Tokens of a prompt.', meter.promptTokens)
  text.histogram('vllm:request_generation_tokens', 'Tokens of an answer.', meter.answerTokens)
  text.histogram('vllm:iteration_tokens_total', 'Tokens computed in a step.', meter.stepTokens)
  text.histogram('lorikeet_step_seconds', 'What a step added to the time.', meter.stepSeconds)
  text.counter('lorikeet_step_rows_total', 'Token rows computed, of prompts and of answers.', [
    [{ phase: 'prefill' }, meter.prefillRows],
    [{ phase: 'decode' }, meter.decodeRows],
  ])
}

function writeAdapters(text: MetricsText, telemetry: Telemetry, statuses: readonly AdapterStatus[]): void {
  const room = telemetry.adapters()
  text.gauge('lorikeet_adapters_loaded', 'Sets of adapter bytes in host memory.', room.loaded)
  text.gauge('lorikeet_adapters_resident', 'Sets of adapter bytes on the GPU.', room.resident)
  text.gauge('lorikeet_adapters_resident_max', 'Most that may be there at once.', room.maxResident)
  text.gauge('lorikeet_adapter_host_bytes', 'Bytes of adapters in host memory.', room.hostBytes)
  text.gauge('lorikeet_adapter_host_bytes_max', 'Most that there may be.', room.maxHostBytes)
  text.gauge('lorikeet_adapters_known', 'Sets of adapter bytes, wherever they are.', room.known)
  text.gauge('lorikeet_adapters_reading', 'Sets of adapter bytes being read again now.', room.reading)
  text.counter(
    'lorikeet_adapter_moved_bytes_total',
    'Bytes moved on the GPU to make room in one piece.',
    room.movedBytes,
  )
  text.gauge('lorikeet_adapter_gpu_capacity_bytes', 'Bytes on the GPU for adapters.', room.capacityBytes)
  text.gauge('lorikeet_adapter_gpu_free_bytes', 'Bytes of these that no adapter has.', room.freeBytes)

  const each = (value: (status: AdapterStatus) => number): Sample[] =>
    statuses.map((status) => [{ adapter: status.name }, value(status)])
  const tally = ({ name }: AdapterStatus) => telemetry.meter.tally(name)
  text.counter(
    'lorikeet_adapter_requests_total',
    'Generations started for an adapter.',
    each(({ requests }) => requests),
  )
  text.counter(
    'lorikeet_adapter_prompt_tokens_total',
    'Prompt tokens of its admitted requests.',
    each((status) => tally(status).promptTokens),
  )
  text.counter(
    'lorikeet_adapter_generation_tokens_total',
    'Tokens generated with it.',
    each((status) => tally(status).generatedTokens),
  )
  text.summary(
    'lorikeet_adapter_time_to_first_token_seconds',
    'From the arrival of its requests to their first tokens.',
    statuses.map((status) => {
      const { firstTokens, firstTokenSeconds } = tally(status)
      return [{ adapter: status.name }, firstTokens, firstTokenSeconds]
    }),
  )
  text.counter(
    'lorikeet_adapter_hits_total',
    'Its generations that found it on the GPU.',
    each(({ usage }) => usage.hits),
  )
  text.counter(
    'lorikeet_adapter_misses_total',
    'Its generations that had to bring or await it.',
    each(({ usage }) => usage.misses),
  )
  text.counter(
    'lorikeet_adapter_loads_total',
    'Times it arrived on the GPU.',
    each(({ usage }) => usage.arrivals),
  )
  text.counter(
    'lorikeet_adapter_evictions_total',
    'Times it had to leave the GPU.',
    each(({ evictions }) => evictions),
  )
  text.counter(
    'lorikeet_adapter_uploaded_bytes_total',
    'Bytes uploaded for its arrivals.',
    each(({ usage }) => usage.uploadedBytes),
  )
  text.counter(
    'lorikeet_adapter_upload_seconds_total',
    'What its uploads took; waiting for room not included.',
    each(({ usage }) => usage.uploadMs / 1000),
  )
  text.counter(
    'lorikeet_adapter_reads_total',
    'Times its bytes were read again from where they came from.',
    each(({ usage }) => usage.reads),
  )
  text.counter(
    'lorikeet_adapter_read_seconds_total',
    'What these took.',
    each(({ usage }) => usage.readMs / 1000),
  )
  text.counter(
    'lorikeet_adapter_read_failures_total',
    'Times they could not be read again.',
    each(({ usage }) => usage.readFailures),
  )
  text.gauge(
    'lorikeet_adapter_last_load_seconds',
    'What its last arrival took, waiting for room included.',
    each(({ usage }) => (usage.lastArrivalMs ?? Number.NaN) / 1000),
  )
  text.gauge(
    'lorikeet_adapter_bytes',
    'Bytes of its tensors.',
    each(({ bytes }) => bytes),
  )
  text.gauge(
    'lorikeet_adapter_leases',
    'Generations that hold it now.',
    each(({ leases }) => leases),
  )
  text.gauge(
    'lorikeet_adapter_tier',
    'Where it is; always 1.',
    statuses.map(({ name, tier }) => [{ adapter: name, tier }, 1]),
  )
}

function writeDevice(text: MetricsText, telemetry: Telemetry): void {
  const memory = [...telemetry.memory()]
  text.gauge(
    'lorikeet_gpu_memory_bytes',
    'Bytes of buffers on the device, by what they are for.',
    memory.map(([purpose, { bytes }]) => [{ purpose }, bytes]),
  )
  text.gauge(
    'lorikeet_gpu_memory_peak_bytes',
    'The most these ever were.',
    memory.map(([purpose, { peakBytes }]) => [{ purpose }, peakBytes]),
  )
  const counters = telemetry.counters()
  text.counter('lorikeet_gpu_dispatches_total', 'Kernels dispatched.', counters.dispatches)
  text.counter('lorikeet_gpu_submits_total', 'Command buffers submitted.', counters.submits)
  text.counter('lorikeet_gpu_uploaded_bytes_total', 'Bytes written to the device.', counters.uploadedBytes)
  text.counter('lorikeet_gpu_readback_bytes_total', 'Bytes read back in steps.', counters.readbackBytes)
  text.counter('lorikeet_gpu_pipelines_compiled_total', 'Compute pipelines compiled.', counters.pipelinesCompiled)
}

/** One status for each name: while an old version leaves, its name may be that of a new one, and series must differ. */
function uniqueByName(statuses: readonly AdapterStatus[]): AdapterStatus[] {
  const byName = new Map<string, AdapterStatus>()
  for (const status of statuses) if (!byName.has(status.name)) byName.set(status.name, status)
  return [...byName.values()]
}
