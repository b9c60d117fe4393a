/** The whole page takes drops. What is dropped is checked, and the shelf is where it is shown. */
import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import { usePage } from '../app/page.ts'
import { filesOfDrop } from './dropped.ts'

export function DropZone(): JSX.Element | null {
  const { shelf, session } = usePage()
  const isOver = useSignal(false)
  useEffect(() => {
    const bringsFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false
    const over = (event: DragEvent): void => {
      if (!bringsFiles(event)) return
      event.preventDefault()
      isOver.value = true
    }
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) isOver.value = false
    }
    const drop = async (event: DragEvent): Promise<void> => {
      if (!bringsFiles(event) || !event.dataTransfer) return
      event.preventDefault()
      isOver.value = false
      const dropped = await filesOfDrop(event.dataTransfer)
      if (!dropped) return
      location.hash = '#/shelf'
      await shelf.consider({ type: 'files', ...dropped })
    }
    addEventListener('dragover', over)
    addEventListener('dragleave', leave)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragover', over)
      removeEventListener('dragleave', leave)
      removeEventListener('drop', drop)
    }
  }, [shelf, isOver])
  if (!isOver.value) return null
  return (
    <div class="dropzone" aria-hidden="true">
      <p>{session.isReady.value ? 'Let go: it is checked before it is loaded.' : 'Wait until the model is ready.'}</p>
    </div>
  )
}
