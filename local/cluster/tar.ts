/** A file in a tar archive. */
export interface TarEntry {
  /** Path without a leading slash, at most 100 bytes. */
  readonly name: string;
  readonly data: Buffer;
  readonly mode: number;
}

const BLOCK = 512;

/** A POSIX (ustar) archive of regular files, all of root and of the year 1970. */
export function tarArchive(entries: readonly TarEntry[]): Buffer {
  const parts = entries.flatMap(({ name, data, mode }) => [
    header(name, data.length, mode),
    data,
    Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK),
  ]);
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

function header(name: string, size: number, mode: number): Buffer {
  if (Buffer.byteLength(name) > 100) throw new Error(`too long for a tar archive: ${name}`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, length: number): string =>
    `${value.toString(8).padStart(length - 1, "0")}\0`;
  block.write(name, 0);
  block.write(octal(mode, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(0, 12), 136);
  block.write(" ".repeat(8), 148);
  block.write("0", 156);
  block.write("ustar\u000000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}
