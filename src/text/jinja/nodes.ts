/** The syntax tree of a template. Plain data; `line` is where a statement or a call stands, for messages. */
import type { Value } from './values.ts'

export type Statement =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'print'; readonly value: Expression; readonly line: number }
  | { readonly type: 'if'; readonly branches: readonly Branch[]; readonly otherwise: Block; readonly line: number }
  | For
  | { readonly type: 'set'; readonly target: Target; readonly value: Expression; readonly line: number }
  | {
      readonly type: 'setBlock'
      readonly target: Target
      readonly filters: readonly FilterCall[]
      readonly body: Block
      readonly line: number
    }
  | ({ readonly type: 'macro'; readonly name: string; readonly line: number } & MacroBody)
  | ({ readonly type: 'call'; readonly call: Expression; readonly line: number } & MacroBody)
  | { readonly type: 'filter'; readonly filters: readonly FilterCall[]; readonly body: Block; readonly line: number }
  | {
      readonly type: 'with'
      readonly assignments: readonly { readonly target: Target; readonly value: Expression }[]
      readonly body: Block
      readonly line: number
    }
  /** A body without a scope or an effect of its own ({% generation %}). */
  | { readonly type: 'plain'; readonly body: Block; readonly line: number }
  | { readonly type: 'break' | 'continue'; readonly line: number }

export type Block = readonly Statement[]

export interface Branch {
  readonly test: Expression
  readonly body: Block
}

export interface For {
  readonly type: 'for'
  readonly target: Target
  readonly iterable: Expression
  readonly test: Expression | null
  readonly recursive: boolean
  readonly body: Block
  readonly otherwise: Block
  readonly line: number
}

export interface MacroBody {
  readonly parameters: readonly { readonly name: string; readonly fallback: Expression | null }[]
  readonly body: Block
  /** Which of caller, varargs and kwargs the body mentions; only then are they taken. */
  readonly specials: ReadonlySet<string>
}

/** What `set` and `for` assign to. */
export type Target =
  | { readonly type: 'name'; readonly name: string }
  | { readonly type: 'tuple'; readonly items: readonly Target[] }
  | { readonly type: 'attribute'; readonly namespace: string; readonly name: string }

export type Expression =
  | { readonly type: 'constant'; readonly value: Value }
  | { readonly type: 'name'; readonly name: string }
  | { readonly type: 'list' | 'tuple' | 'concat'; readonly items: readonly Expression[] }
  | { readonly type: 'dict'; readonly entries: readonly { readonly key: Expression; readonly value: Expression }[] }
  | { readonly type: 'attribute'; readonly object: Expression; readonly name: string }
  | { readonly type: 'item'; readonly object: Expression; readonly key: Expression }
  | {
      readonly type: 'slice'
      readonly object: Expression
      readonly start: Expression | null
      readonly stop: Expression | null
      readonly step: Expression | null
    }
  | { readonly type: 'call'; readonly callee: Expression; readonly args: CallArguments }
  | { readonly type: 'filtered'; readonly value: Expression; readonly filter: FilterCall }
  | { readonly type: 'test'; readonly value: Expression; readonly name: string; readonly args: CallArguments }
  | { readonly type: 'not' | 'negative' | 'positive'; readonly value: Expression }
  | { readonly type: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | {
      readonly type: 'arithmetic'
      readonly operator: Arithmetic
      readonly left: Expression
      readonly right: Expression
    }
  | {
      readonly type: 'compare'
      readonly first: Expression
      readonly rest: readonly { readonly operator: Comparison; readonly value: Expression }[]
    }
  | {
      readonly type: 'conditional'
      readonly test: Expression
      readonly chosen: Expression
      readonly otherwise: Expression | null
    }

export type Arithmetic = '+' | '-' | '*' | '/' | '//' | '%' | '**'
export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in'

export interface CallArguments {
  readonly positional: readonly Expression[]
  readonly keywords: readonly { readonly name: string; readonly value: Expression }[]
  /** `*list` and `**dict`. */
  readonly spread: Expression | null
  readonly keywordSpread: Expression | null
}

export interface FilterCall {
  readonly name: string
  readonly args: CallArguments
}
