/** Processor time of this process in milliseconds: what code costs, however busy the machine is with other work. For Node. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
