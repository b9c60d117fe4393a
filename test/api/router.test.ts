/** Which route a request takes. */
import { describe, expect, it } from 'vitest'
import { allowed, answerTo, Router } from '../../src/api/router.ts'

const router = new Router<string>()
router.add('/a', { GET: 'get a' })
router.add('/a/b', { POST: 'post b' })
router.add('/a/*', { GET: 'get below a', POST: 'post below a' })

describe('a router', () => {
  it.each([
    ['/a', '/a', ''],
    ['/a/b', '/a/b', ''],
    ['/a/c', '/a/*', 'c'],
    ['/a/b/c', '/a/*', 'b/c'],
    ['/a/b%2Fc', '/a/*', 'b/c'],
    ['/a/100%', '/a/*', '100%'],
    ['/a/*', '/a/*', '*'],
  ])('takes %s to %s', (path, route, rest) => {
    const found = router.find(path)
    expect([found?.route.path, found?.rest]).toEqual([route, rest])
  })

  it.each(['/', '/b', '/a/', '/aa', 'a', '', '/A', '//a'])('knows nothing at %j', (path) => {
    expect(router.find(path)).toBeNull()
  })

  it('answers HEAD like GET, and says what else there is', () => {
    const { route } = router.find('/a/c')!
    expect(['GET', 'HEAD', 'POST', 'PUT', 'constructor'].map((method) => answerTo(route, method))).toEqual([
      'get below a',
      'get below a',
      'post below a',
      null,
      null,
    ])
    expect(allowed(route)).toBe('GET, HEAD, POST')
    expect(answerTo(router.find('/a/b')!.route, 'HEAD')).toBeNull()
  })
})
