/** The first view: one prompt, all voices side by side, and the batch that serves them. */
import type { CSSProperties, JSX } from 'preact'
import { counted, durationText, numberWord } from '../app/format.ts'
import { usePage } from '../app/page.ts'
import { voiceStyle } from '../app/voiceStyle.ts'
import { CodePanel } from '../code/CodePanel.tsx'
import { Meters } from '../meters/Meters.tsx'
import { batchAverages } from '../meters/series.ts'
import { BlendControl } from './BlendControl.tsx'
import { blendName } from './chorus.ts'
import { Lane, SilentLane } from './Lane.tsx'
import { PromptForm } from './PromptForm.tsx'
import { RunSettings } from './RunSettings.tsx'

export function ChorusView(): JSX.Element {
  const { session, chorus, plumes } = usePage()
  const voices = session.voices.value
  const count = chorus.singers.value.length + (chorus.blend.value ? 1 : 0)
  const answers = chorus.answers.value
  const blend = chorus.blend.value
  return (
    <div class="chorus">
      <h1>
        One prompt. {voices.length === 0 ? 'Many voices.' : `${numberWord(count)} ${count === 1 ? 'voice' : 'voices'}.`}{' '}
        <em>
          One batch.
          <span class="barbs" aria-hidden="true">
            {chorus.singers.value.map(({ id, parent }) => (
              <i key={id} style={voiceStyle(plumes.of(parent === null ? null : id))} />
            ))}
          </span>
        </em>
      </h1>
      <PromptForm />
      <RunSettings />
      <BlendControl />
      <Tally />
      <section class="lanes" aria-label="Answers" style={{ '--lanes': Math.max(1, count) } as CSSProperties}>
        {answers.length > 0
          ? answers.map((answer) => <Lane key={answer.voice} answer={answer} />)
          : [
              ...chorus.singers.value.map((voice) => <SilentLane key={voice.id} voice={voice.id} />),
              ...(blend ? [<SilentLane key="blend" voice={blendName(blend)} />] : []),
            ]}
      </section>
      <Meters />
      <CodePanel asks={chorus.asks().map(({ ask }) => ask)} title="This chorus as code" />
    </div>
  )
}

/** What all voices did together. */
function Tally(): JSX.Element {
  const { chorus, feed } = usePage()
  const isRunning = chorus.isRunning.value
  const answers = chorus.answers.value
  if (answers.length === 0) return <p class="tally" role="status" />
  feed.news.value
  const { rows, voices } = batchAverages(stepsSince(feed.log.all, chorus.elapsedMs.value))
  return (
    <div class="tally">
      <p>
        <strong>{chorus.perSecond.value.toFixed(1)}</strong> tokens a second together
      </p>
      <p>
        <strong>{chorus.numTokens.value}</strong> tokens in {durationText(chorus.elapsedMs.value)}
      </p>
      {rows > 0 && (
        <p>
          <strong>{rows.toFixed(1)}</strong> rows and <strong>{voices.toFixed(1)}</strong> voices in a step
        </p>
      )}
      <p class="unseen" role="status">
        {isRunning
          ? `${counted(answers.length, 'voice')} answering.`
          : `All have ended: ${chorus.numTokens.value} tokens in ${durationText(chorus.elapsedMs.value)}.`}
      </p>
    </div>
  )
}

/** The steps of the last `ms` before the newest. */
function stepsSince<Step extends { readonly at_ms: number }>(steps: readonly Step[], ms: number): readonly Step[] {
  const last = steps.at(-1)
  return last ? steps.filter(({ at_ms }) => at_ms >= last.at_ms - ms) : []
}
