/** Whether this browser can run the engine, and what its owner can do if it cannot. */

export interface BrowserFacts {
  /** `navigator.gpu` is there. */
  readonly hasApi: boolean
  /** It gave an adapter. */
  readonly hasAdapter: boolean
  /** WebGPU exists only in secure contexts. */
  readonly isSecure: boolean
  readonly userAgent: string
}

export interface Advice {
  readonly problem: string
  readonly steps: readonly string[]
}

/** Null when all is well. */
export function webgpuAdvice({ hasApi, hasAdapter, isSecure, userAgent }: BrowserFacts): Advice | null {
  if (hasApi && hasAdapter) return null
  if (!isSecure) {
    return {
      problem: 'This page came over plain http from another machine, and browsers give WebGPU to secure pages only.',
      steps: ['Open it over https, or from the machine itself as http://localhost.'],
    }
  }
  const isMobile = /Android|iPhone|iPad|Mobile/i.test(userAgent)
  if (/Firefox\//.test(userAgent)) {
    return {
      problem: 'This Firefox does not offer WebGPU.',
      steps: isMobile
        ? ['Firefox on phones does not have it yet: use Chrome on Android or Safari on iOS 26.']
        : [
            'Firefox has it on Windows from version 141 and on macOS from 145: update it.',
            'Elsewhere open about:config and set dom.webgpu.enabled to true, then reload.',
          ],
    }
  }
  if (/Chrome\/|Chromium\/|Edg\//.test(userAgent)) {
    if (hasApi) {
      return {
        problem: 'This browser has WebGPU, but no graphics adapter that it would use.',
        steps: [
          'Open chrome://gpu and see what it says of WebGPU; "Use graphics acceleration" in the settings must be on.',
          'On Linux start it with --enable-features=Vulkan, and on a machine without a GPU with --enable-unsafe-webgpu.',
        ],
      }
    }
    return {
      problem: 'This browser does not offer WebGPU.',
      steps: [
        'Chrome and Edge have it from version 113, on Android from 121: update.',
        'On Linux set chrome://flags/#enable-unsafe-webgpu to Enabled and restart.',
      ],
    }
  }
  if (/Safari\//.test(userAgent)) {
    return {
      problem: 'This Safari does not offer WebGPU.',
      steps: ['Safari has it from version 26, on macOS 26, iOS 26 and iPadOS 26: update, or use Chrome on a Mac.'],
    }
  }
  return {
    problem: 'This browser does not offer WebGPU.',
    steps: ['A current Chrome, Edge, Safari or Firefox does.'],
  }
}

interface GpuNavigator {
  readonly gpu?: { requestAdapter(): Promise<object | null> }
  readonly userAgent: string
}

export async function browserFacts(browser: GpuNavigator, isSecure: boolean): Promise<BrowserFacts> {
  const adapter = await browser.gpu?.requestAdapter().catch(() => null)
  return { hasApi: browser.gpu !== undefined, hasAdapter: adapter != null, isSecure, userAgent: browser.userAgent }
}
