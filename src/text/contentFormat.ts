/**
 * Finds out how a template takes a message's content, by reading it: a template that loops over content understands
 * OpenAI's list of parts, one that prints or joins content wants a string. vLLM decides in the same way.
 */
import type { Block } from './jinja/nodes.ts'
import type { ContentFormat } from './messages.ts'

/** A node of the tree, whatever it is. */
type Node = Readonly<Record<string, unknown>>

/** Looks at the whole template. */
export function detectContentFormat(body: Block): ContentFormat {
  const nodes = [...everyNode(body)]
  const names = contentNames(nodes)
  const isContent = (value: unknown): boolean => {
    const node = withoutFilters(value)
    return readsContent(node) || (node?.type === 'name' && names.has(node.name as string))
  }
  if (!nodes.some((node) => node.type === 'for' && isContent(node.iterable))) return 'string'
  const takesText = nodes.some(
    (node) => (node.type === 'test' && node.name === 'string') || textOperands(node).some((one) => isContent(one)),
  )
  return takesText ? 'parts' : 'onlyParts'
}

/** Names that stand for a message's content: set from it, or a macro's parameter called content. */
function contentNames(nodes: readonly Node[]): ReadonlySet<string> {
  const names = new Set<string>()
  for (const node of nodes) {
    const target = node.target as Node | undefined
    if (node.type === 'set' && target?.type === 'name' && readsContent(withoutFilters(node.value))) {
      names.add(target.name as string)
    }
    if (node.type === 'macro' && (node.parameters as readonly Node[]).some(({ name }) => name === 'content')) {
      names.add('content')
    }
  }
  return names
}

/** message.content, message['content']. */
function readsContent(node: Node | null): boolean {
  if (node?.type === 'attribute') return node.name === 'content'
  return node?.type === 'item' && (node.key as Node).value === 'content'
}

/** What this node uses as text. */
function textOperands(node: Node): readonly unknown[] {
  if (node.type === 'print') return [node.value]
  if (node.type === 'concat') return node.items as readonly unknown[]
  if (node.type === 'arithmetic') return [node.left, node.right]
  // content.strip(), content.split(...)
  return node.type === 'attribute' ? [node.object] : []
}

function withoutFilters(value: unknown): Node | null {
  let node = isNode(value) ? value : null
  while (node?.type === 'filtered' && isNode(node.value)) node = node.value
  return node
}

function* everyNode(value: unknown): Generator<Node> {
  if (typeof value !== 'object' || value === null) return
  if (isNode(value)) yield value
  for (const child of Object.values(value)) yield* everyNode(child)
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
