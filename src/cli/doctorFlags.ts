/** The flags of `lorikeet doctor`. */
import { type Command, Option } from 'commander'
import { type DeviceFlags, deviceOptions } from './engineFlags.ts'

/** As commander names them. */
export interface DoctorFlags extends DeviceFlags {
  readonly model?: string
  readonly json?: boolean
  /** Examine in this process and write the attempt as JSON: what the command asks of its child. */
  readonly examine?: boolean
}

export interface DoctorActions {
  doctor(flags: DoctorFlags): Promise<void>
}

const HELP = `
Looks at the machine, its driver and its GPU; computes known numbers on it; measures how fast it multiplies, copies and
answers; and says what is wrong and what to do about it. The exit code is 0 where lorikeet can run.
`

export function addDoctor(program: Command, actions: DoctorActions): void {
  const doctor = program
    .command('doctor')
    .description('say whether lorikeet can run here, how well, and what to do about what is wrong')
    .option('--model <dir>', 'try this model too')
    .option('--json', 'write the report as JSON, as a bug report wants it')
    .addOption(new Option('--examine', 'examine in this process').hideHelp())
    .addHelpText('after', HELP)
    .allowExcessArguments(false)
    .action((flags: DoctorFlags) => actions.doctor(flags))
  for (const each of deviceOptions()) doctor.addOption(each)
}
