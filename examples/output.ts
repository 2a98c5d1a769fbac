/** Writes what a program was asked for. */
export function print(text: string): void {
  process.stdout.write(text);
}

/** Writes a line about how it goes. */
export function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}
