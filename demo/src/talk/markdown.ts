/**
 * What a model writes as Markdown, as nodes that can do nothing: no scripts, no styles, and nothing that would be fetched,
 * because an image's address can carry away what was said.
 */
import DOMPurify from 'dompurify'
import { marked } from 'marked'

const TAGS = [
  ...['p', 'br', 'hr', 'em', 'strong', 'del', 'code', 'pre', 'blockquote', 'ul', 'ol', 'li', 'a'],
  ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'table', 'thead', 'tbody', 'tr', 'th', 'td'],
]

export function markdownNodes(text: string): DocumentFragment {
  const html = marked.parse(text, { async: false, breaks: true, gfm: true })
  const nodes = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ['href', 'title', 'start'],
    ALLOWED_URI_REGEXP: /^(https?|mailto):/i,
    RETURN_DOM_FRAGMENT: true,
  })
  for (const link of nodes.querySelectorAll('a')) {
    link.target = '_blank'
    link.rel = 'noopener noreferrer'
  }
  // A page has one heading of the first rank, and it is not the model's.
  for (const heading of nodes.querySelectorAll('h1, h2')) {
    const lower = document.createElement('h3')
    lower.append(...heading.childNodes)
    heading.replaceWith(lower)
  }
  return nodes
}
