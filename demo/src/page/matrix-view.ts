/**
 * A square picture of numbers for pairs of tokens, with zoom and a place that is looked at.
 *
 * @module
 */
import { painter } from './colours.ts';
import { onTheme } from './theme.ts';

/** What is drawn. */
export interface Matrix {
  /** Rows and columns. */
  readonly length: number;
  /** From -1 to 1. */
  value(row: number, column: number): number;
  /** Rows and columns of blocks that lines are drawn around; none where they are 1. */
  readonly rowBlock: number;
  readonly columnBlock: number;
}

/** A pair of tokens. */
export interface Place {
  readonly row: number;
  readonly column: number;
}

const LEAST_CELLS = 8;
const ZOOM_STEP = 1.5;

const clamp = (x: number, low: number, high: number) => Math.min(high, Math.max(low, x));

/** A place worth to be looked at first: a late row, and what is most in it besides itself. */
function telling(matrix: Matrix): Place {
  const row = Math.max(0, matrix.length - 3);
  let column = 0;
  for (let n = 1; n < row; ++n) if (matrix.value(row, n) > matrix.value(row, column)) column = n;
  return { row, column };
}

/** The picture, in a canvas of the page. */
export class MatrixView {
  readonly #canvas: HTMLCanvasElement;
  readonly #look: (place: Place) => void;
  readonly #bitmap = document.createElement('canvas');
  #matrix: Matrix | undefined;
  /** The part that is shown: its first column and row, and how many. */
  #left = 0;
  #top = 0;
  #cells = 1;
  #place: Place = { row: 0, column: 0 };
  #frame = 0;
  readonly #fingers = new Map<number, { x: number; y: number }>();

  /** @param look called when another place is looked at. */
  constructor(canvas: HTMLCanvasElement, look: (place: Place) => void) {
    this.#canvas = canvas;
    this.#look = look;
    // it takes keys of its own
    canvas.role = 'application';
    canvas.tabIndex = 0;
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    canvas.addEventListener('pointerdown', (event) => this.#press(event));
    for (const name of ['pointerup', 'pointercancel', 'pointerleave'] as const) {
      canvas.addEventListener(name, ({ pointerId }) => this.#fingers.delete(pointerId));
    }
    canvas.addEventListener('wheel', (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener('keydown', (event) => this.#key(event));
    new ResizeObserver(() => this.#draw()).observe(canvas);
    onTheme(() => this.#paint());
  }

  /** Shows a matrix; zoom and place stay where its size is the same. */
  show(matrix: Matrix): void {
    if (this.#matrix?.length !== matrix.length) {
      this.#matrix = matrix;
      this.fit();
      this.place = telling(matrix);
    }
    this.#matrix = matrix;
    this.#paint();
  }

  /** What is looked at. */
  get place(): Place {
    return this.#place;
  }

  set place({ row, column }: Place) {
    const last = (this.#matrix?.length ?? 1) - 1;
    this.#place = { row: clamp(row, 0, last), column: clamp(column, 0, last) };
    this.#look(this.#place);
    this.#draw();
  }

  /** Shows all. */
  fit(): void {
    [this.#left, this.#top, this.#cells] = [0, 0, this.#matrix?.length ?? 1];
    this.#draw();
  }

  /** Zooms in or out, about the place that is looked at or another. */
  zoom(
    into: boolean,
    about: { x: number; y: number } = { x: this.#place.column + 0.5, y: this.#place.row + 0.5 },
  ): void {
    this.#scale(into ? 1 / ZOOM_STEP : ZOOM_STEP, about);
  }

  #scale(factor: number, about: { x: number; y: number }): void {
    const length = this.#matrix?.length ?? 1;
    const cells = clamp(this.#cells * factor, Math.min(LEAST_CELLS, length), length);
    const ratio = cells / this.#cells;
    this.#left = about.x - (about.x - this.#left) * ratio;
    this.#top = about.y - (about.y - this.#top) * ratio;
    this.#cells = cells;
    this.#keepInside();
  }

  #keepInside(): void {
    const room = (this.#matrix?.length ?? 1) - this.#cells;
    this.#left = clamp(this.#left, 0, room);
    this.#top = clamp(this.#top, 0, room);
    this.#draw();
  }

  /** Where a pointer is, in cells. */
  #at({ clientX, clientY }: MouseEvent): { x: number; y: number } {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return {
      x: this.#left + ((clientX - left) / width) * this.#cells,
      y: this.#top + ((clientY - top) / height) * this.#cells,
    };
  }

  #lookAt(event: MouseEvent): void {
    const { x, y } = this.#at(event);
    const place = { row: Math.floor(y), column: Math.floor(x) };
    if (place.row !== this.#place.row || place.column !== this.#place.column) this.place = place;
  }

  #press(event: PointerEvent): void {
    this.#fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.#lookAt(event);
  }

  #move(event: PointerEvent): void {
    const before = this.#fingers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === 'mouse') this.#lookAt(event);
      return;
    }
    const pixel = this.#cells / this.#canvas.clientWidth;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...this.#fingers].find(([id]) => id !== event.pointerId)?.[1];
    this.#fingers.set(event.pointerId, now);
    if (other) {
      const span = (p: { x: number; y: number }) => Math.max(1, Math.hypot(p.x - other.x, p.y - other.y));
      this.#scale(span(before) / span(now), this.#at(event));
    }
    this.#left -= (now.x - before.x) * pixel;
    this.#top -= (now.y - before.y) * pixel;
    this.#keepInside();
  }

  #wheel(event: WheelEvent): void {
    // the page scrolls unless the picture was clicked, or the gesture says zoom
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.#canvas) return;
    event.preventDefault();
    this.#scale(Math.exp(clamp(event.deltaY, -100, 100) / 300), this.#at(event));
  }

  #key(event: KeyboardEvent): void {
    const step = event.shiftKey ? 10 : 1;
    const { row, column } = this.#place;
    const places: Record<string, Place> = {
      ArrowUp: { row: row - step, column },
      ArrowDown: { row: row + step, column },
      ArrowLeft: { row, column: column - step },
      ArrowRight: { row, column: column + step },
      Home: { row, column: 0 },
      End: { row, column: row },
    };
    const place = places[event.key];
    if (place) {
      this.place = place;
      this.#follow();
    } else if (event.key === '+' || event.key === '=') this.zoom(true);
    else if (event.key === '-') this.zoom(false);
    else if (event.key === '0') this.fit();
    else return;
    event.preventDefault();
  }

  /** Moves the part that is shown so that the place is in it. */
  #follow(): void {
    const { row, column } = this.#place;
    this.#left = clamp(this.#left, column + 1 - this.#cells, column);
    this.#top = clamp(this.#top, row + 1 - this.#cells, row);
    this.#keepInside();
  }

  /** Fills the bitmap, a pixel for a pair. */
  #paint(): void {
    const matrix = this.#matrix;
    if (!matrix) return;
    const { length } = matrix;
    this.#bitmap.width = length;
    this.#bitmap.height = length;
    const image = new ImageData(Math.max(1, length), Math.max(1, length));
    const paint = painter();
    for (let row = 0; row < length; ++row) {
      for (let column = 0; column < length; ++column) {
        paint(matrix.value(row, column), image.data, 4 * (row * length + column));
      }
    }
    this.#bitmap.getContext('2d')?.putImageData(image, 0, 0);
    this.#draw();
  }

  #draw(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#drawNow());
  }

  #drawNow(): void {
    const matrix = this.#matrix;
    const canvas = this.#canvas;
    const side = Math.round(canvas.clientWidth * devicePixelRatio);
    if (!matrix || side === 0) return;
    if (canvas.width !== side) {
      canvas.width = side;
      canvas.height = side;
    }
    const context = canvas.getContext('2d')!;
    const cell = side / this.#cells;
    context.imageSmoothingEnabled = cell < 1;
    context.imageSmoothingQuality = 'high';
    context.clearRect(0, 0, side, side);
    context.drawImage(this.#bitmap, this.#left, this.#top, this.#cells, this.#cells, 0, 0, side, side);
    const style = getComputedStyle(canvas);
    const line = (x: number, y: number, width: number, height: number) => context.fillRect(x, y, width, height);
    context.fillStyle = style.getPropertyValue('--grid');
    for (const [block, vertical] of [
      [matrix.columnBlock, true],
      [matrix.rowBlock, false],
    ] as const) {
      if (block <= 1 || block * cell < 5) continue;
      const from = vertical ? this.#left : this.#top;
      for (let at = Math.ceil(from / block) * block; at < from + this.#cells; at += block) {
        const place = Math.round((at - from) * cell);
        if (vertical) line(place, 0, 1, side);
        else line(0, place, side, 1);
      }
    }
    const x = (this.#place.column - this.#left) * cell;
    const y = (this.#place.row - this.#top) * cell;
    const thick = Math.max(1, Math.round(devicePixelRatio));
    context.strokeStyle = style.getPropertyValue('--mark');
    context.fillStyle = style.getPropertyValue('--mark');
    context.globalAlpha = 0.5;
    line(0, y + cell / 2 - thick / 2, Math.max(0, x), thick);
    line(x + cell / 2 - thick / 2, y + cell, thick, side);
    context.globalAlpha = 1;
    context.lineWidth = 2 * thick;
    const size = Math.max(cell, 6 * thick);
    context.strokeRect(x + cell / 2 - size / 2, y + cell / 2 - size / 2, size, size);
  }
}
