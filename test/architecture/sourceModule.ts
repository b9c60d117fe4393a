/** What the rules of the house need to know of a source file: its imports, and the host globals it names. */
import { posix } from 'node:path'
import { parseSync } from 'vite'

/** Globals that exist on one host only; naming one ties a file to that host. */
const HOST_GLOBALS = new Set(['process', 'Deno', 'Bun', 'navigator', 'require', '__dirname', '__filename'])
const GLOBAL_OBJECTS = new Set(['globalThis', 'self', 'window', 'global'])

export interface ImportOf {
  /** A path from the project's root for a relative import, else the specifier as written. */
  readonly target: string
  readonly isRelative: boolean
  /** Gone after compilation. `import { type X }` is not: under verbatimModuleSyntax the bare import stays. */
  readonly isTypeOnly: boolean
  /** By `import()`: a bundler puts it into another file. `part`: as src/part.ts has it, which says what it means when that fails. */
  readonly later: 'part' | 'bare' | null
}

export interface SourceModule {
  /** From the project's root, with slashes. */
  readonly path: string
  readonly imports: readonly ImportOf[]
  readonly hostGlobals: readonly string[]
}

interface Node {
  readonly type: string
  readonly [field: string]: unknown
}

/**
 * Parses one file.
 * @throws Error when it is no TypeScript
 */
export function parseModule(path: string, text: string): SourceModule {
  const { program, errors } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`)
  const imports: ImportOf[] = []
  const hostGlobals = new Set<string>()
  const inPart = new Set<Node>()
  const visit = (node: Node): void => {
    const part = importOfPart(node)
    if (part) inPart.add(part)
    const found = importIn(node)
    if (found) {
      const later = node.type !== 'ImportExpression' ? null : inPart.has(node) ? 'part' : 'bare'
      imports.push({ ...resolveImport(path, found.specifier), isTypeOnly: found.isTypeOnly, later })
    }
    const name = hostGlobalIn(node)
    if (name) hostGlobals.add(name)
    for (const child of childrenOf(node)) visit(child)
  }
  visit(program as unknown as Node)
  return { path, imports, hostGlobals: [...hostGlobals] }
}

/** The nodes below, without identifiers that are mere names of members. */
function childrenOf(node: Node): Node[] {
  const fields = Object.entries(node).filter(([field]) => !(isMemberName(node, field) && node.computed !== true))
  return fields.flatMap(([, value]) => (Array.isArray(value) ? value : [value])).filter(isNode)
}

function isMemberName({ type }: Node, field: string): boolean {
  if (type === 'MemberExpression') return field === 'property'
  if (type === 'TSQualifiedName') return field === 'right'
  if (type === 'ImportSpecifier' || type === 'ExportSpecifier') return field === 'imported' || field === 'exported'
  return field === 'key'
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}

function importIn(node: Node): { specifier: string; isTypeOnly: boolean } | null {
  const source = node.source as Node | null | undefined
  switch (node.type) {
    case 'ImportDeclaration':
      return { specifier: String(source?.value), isTypeOnly: node.importKind === 'type' }
    case 'ExportAllDeclaration':
    case 'ExportNamedDeclaration':
      return source ? { specifier: String(source.value), isTypeOnly: node.exportKind === 'type' } : null
    case 'ImportExpression':
      // A computed specifier cannot be checked, so it breaks the rule that every import is known.
      return { specifier: source?.type === 'Literal' ? String(source.value) : '(computed)', isTypeOnly: false }
    case 'TSImportType':
      return { specifier: String((source ?? (node.argument as Node | undefined))?.value), isTypeOnly: true }
    default:
      return null
  }
}

/** Of `part(() => import('./x.ts'))` the import. */
function importOfPart({ type, callee, arguments: given }: Node): Node | null {
  if (type !== 'CallExpression' || (callee as Node).name !== 'part') return null
  const [load] = given as Node[]
  const body = load?.type === 'ArrowFunctionExpression' ? (load.body as Node) : null
  return body?.type === 'ImportExpression' ? body : null
}

function resolveImport(from: string, specifier: string): Pick<ImportOf, 'target' | 'isRelative'> {
  const isRelative = specifier.startsWith('.')
  return { target: isRelative ? posix.join(posix.dirname(from), specifier) : specifier, isRelative }
}

function hostGlobalIn(node: Node): string | null {
  if (node.type === 'Identifier') return HOST_GLOBALS.has(String(node.name)) ? String(node.name) : null
  if (node.type !== 'MemberExpression') return null
  const object = node.object as Node
  const property = node.property as Node
  const name = String(node.computed === true ? property.value : property.name)
  return object.type === 'Identifier' && GLOBAL_OBJECTS.has(String(object.name)) && HOST_GLOBALS.has(name) ? name : null
}
