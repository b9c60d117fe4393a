/**
 * How what browsers load is made small. A library build keeps white space for the sake of bundlers' tree shaking marks;
 * here few are left. Classes keep their names: errors are called by them.
 */
export const MINIFY = {
  compress: true,
  mangle: { keepNames: { function: false, class: true } },
  codegen: { removeWhitespace: true },
} as const
