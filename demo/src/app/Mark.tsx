/** The bird, in flat plumes. */
import type { JSX } from 'preact'

export function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 64 64" aria-hidden="true">
      <path fill="#35b36b" d="M9 60c0-17 5-30 17-36 7 8 9 22 4 36z" />
      <path fill="#ff8a3c" d="M26 60c5-12 6-22 2-34 8-3 17 0 22 7 0 11-5 20-13 27z" />
      <path fill="#f6d24a" d="M14 33c3-6 8-10 14-11 5 1 9 4 11 8-8 4-17 5-25 3z" />
      <path fill="#6d6bf2" d="M18 25C17 13 25 5 36 5c10 0 17 6 17 15 0 7-6 12-15 12-8 0-15-2-20-7z" />
      <path fill="#f0475b" d="M50 13c8 0 12 5 11 13-1 4-3 6-6 6 0-4-2-7-6-9-1-4-1-7 1-10z" />
      <circle cx="41" cy="17" r="4" fill="#fff" />
      <circle cx="42" cy="17" r="2.1" fill="#1b1637" />
    </svg>
  )
}
