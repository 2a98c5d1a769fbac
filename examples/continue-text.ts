import { type Generated, type Generation, generate } from './generate.ts';

/** A generation whose tokens are bytes of UTF-8. */
export interface Continuation extends Pick<Generation, 'prompt' | 'most' | 'feed' | 'pick'> {
  /** Called with the text as it comes, a character when its last byte is there. */
  emit(text: string): void;
}

/** The bytes of a prompt. @throws RangeError if there are none. */
export function bytesOf(prompt: string): readonly number[] {
  if (prompt === '') throw new RangeError('the prompt is empty, expected at least one character');
  return [...new TextEncoder().encode(prompt)];
}

/** Continues a text byte by byte. */
export async function continueText({ emit, ...generation }: Continuation): Promise<Generated> {
  const decoder = new TextDecoder();
  const generated = await generate({
    ...generation,
    emit: (byte) => emit(decoder.decode(Uint8Array.of(byte), { stream: true })),
  });
  emit(decoder.decode());
  return generated;
}
