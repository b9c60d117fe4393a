/** Python's strftime in the C locale, for templates that print the date: a prompt must not depend on the host's language. */
const DAYS: readonly string[] = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS: readonly string[] = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
]
const DAY_MS = 86_400_000

/** Local time, as datetime.now() gives it. A directive that is not known stays as it is; `-` takes the padding away. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([A-Za-z%])/g, (whole: string, bare: string, letter: string) => {
    const text = directive(date, letter)
    if (text === null) return whole
    return bare === '-' ? text.replace(/^[0 ]+(?=.)/, '') : text
  })
}

function directive(date: Date, letter: string): string | null {
  const two = (value: number): string => String(value).padStart(2, '0')
  const hour12 = date.getHours() % 12 || 12
  const dayOfYear = Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) / DAY_MS,
  )
  switch (letter) {
    case 'Y':
      return String(date.getFullYear()).padStart(4, '0')
    case 'y':
      return two(date.getFullYear() % 100)
    case 'm':
      return two(date.getMonth() + 1)
    case 'd':
      return two(date.getDate())
    case 'e':
      return String(date.getDate()).padStart(2, ' ')
    case 'H':
      return two(date.getHours())
    case 'I':
      return two(hour12)
    case 'M':
      return two(date.getMinutes())
    case 'S':
      return two(date.getSeconds())
    case 'f':
      return String(date.getMilliseconds() * 1000).padStart(6, '0')
    case 'p':
      return date.getHours() < 12 ? 'AM' : 'PM'
    case 'j':
      return String(dayOfYear + 1).padStart(3, '0')
    case 'A':
      return DAYS[date.getDay()]!
    case 'a':
      return DAYS[date.getDay()]!.slice(0, 3)
    case 'w':
      return String(date.getDay())
    case 'u':
      return String(date.getDay() || 7)
    case 'B':
      return MONTHS[date.getMonth()]!
    case 'b':
    case 'h':
      return MONTHS[date.getMonth()]!.slice(0, 3)
    case 'F':
      return strftime(date, '%Y-%m-%d')
    case 'T':
      return strftime(date, '%H:%M:%S')
    case 'R':
      return strftime(date, '%H:%M')
    case 'D':
    case 'x':
      return strftime(date, '%m/%d/%y')
    case 'X':
      return strftime(date, '%H:%M:%S')
    case 'c':
      return strftime(date, '%a %b %e %H:%M:%S %Y')
    // datetime.now() carries no time zone.
    case 'Z':
    case 'z':
      return ''
    case '%':
      return '%'
    default:
      return null
  }
}
